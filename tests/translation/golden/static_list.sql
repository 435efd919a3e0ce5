WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
writes AS (
    SELECT '' AS person_id, '' AS name, toInt64(0) AS version, '' AS value WHERE false
),
written AS (
    SELECT
        person_id,
        groupArray((name, latest.1, latest.2)) AS registers
    FROM (SELECT person_id, name, max((version, value)) AS latest FROM writes GROUP BY person_id, name)
    GROUP BY person_id
)
SELECT person_id, [] AS entries, registers
FROM written
WHERE notEmpty(entries) OR notEmpty(registers)
;
WITH {now:Int64} AS now,
source AS (
    SELECT person_id, event, time_ms, CRC32(lower(uuid)) AS tag, properties, '' AS person_properties FROM log
),
writes AS (
    SELECT person_id, concat('$list:', digest) AS name, toInt64(0) AS version, 'true' AS value
    FROM (SELECT digest, person_id FROM lists)
),
registers AS (
    SELECT
        person_id,
        if(countIf(name = '$list:0123456789abcdef') > 0, concat('\x7B"$list:0123456789abcdef":', maxIf((version, value), name = '$list:0123456789abcdef').2, '\x7D'), '') AS r0
    FROM writes
    GROUP BY person_id
),
persons AS (
    SELECT DISTINCT person_id FROM source
),
verdicts AS (
    SELECT
        person_id,
        (r0 != '') AS c0
    FROM persons LEFT JOIN registers USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if(c0, ['somebody'], []) AS cohort
