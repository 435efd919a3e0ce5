WITH events AS (
    SELECT
        {team:UInt32} AS team_id,
        muster_event AS event,
        muster_uuid AS uuid,
        muster_distinct_id AS distinct_id,
        muster_person AS person_id,
        muster_time AS timestamp,
        if(muster_properties = '', '{}', muster_properties) AS properties,
        muster_person_properties AS person_properties
    FROM (
        SELECT
            ifNull(toString(lower(what)), '') AS muster_event,
            ifNull(toString(id), '') AS muster_uuid,
            ifNull(toString(device), '') AS muster_distinct_id,
            ifNull(toString(who), '') AS muster_person,
            assumeNotNull(toDateTime64((parseDateTime64BestEffort(timestamp, 3, 'UTC')), 3, 'UTC')) AS muster_time,
            ifNull(toString(text), '') AS muster_properties,
            ifNull(toString(''), '') AS muster_person_properties
        FROM `shop`.`track-log`
        WHERE (toUInt32OrZero(substring(tenant, 2))) = {team:UInt32} AND (kind = 'track')
    ) AS mapped
    WHERE muster_event != '' AND lengthUTF8(muster_event) <= 200 AND muster_time >= fromUnixTimestamp64Milli(946684800000, 'UTC') AND (muster_person != '' OR muster_distinct_id != '') AND length(muster_person) <= 400 AND position(muster_person, '\0') = 0 AND length(muster_distinct_id) <= 400 AND position(muster_distinct_id, '\0') = 0
)
SELECT min(toUnixTimestamp64Milli(timestamp)), count() FROM events WHERE team_id = {team:UInt32};
WITH events AS (
    SELECT
        {team:UInt32} AS team_id,
        muster_event AS event,
        muster_uuid AS uuid,
        muster_distinct_id AS distinct_id,
        muster_person AS person_id,
        muster_time AS timestamp,
        if(muster_properties = '', '{}', muster_properties) AS properties,
        muster_person_properties AS person_properties
    FROM (
        SELECT
            ifNull(toString(lower(what)), '') AS muster_event,
            ifNull(toString(id), '') AS muster_uuid,
            ifNull(toString(device), '') AS muster_distinct_id,
            ifNull(toString(who), '') AS muster_person,
            assumeNotNull(toDateTime64((parseDateTime64BestEffort(timestamp, 3, 'UTC')), 3, 'UTC')) AS muster_time,
            ifNull(toString(text), '') AS muster_properties,
            ifNull(toString(''), '') AS muster_person_properties
        FROM `shop`.`track-log`
        WHERE (toUInt32OrZero(substring(tenant, 2))) = {team:UInt32} AND (kind = 'track')
    ) AS mapped
    WHERE muster_event != '' AND lengthUTF8(muster_event) <= 200 AND muster_time >= fromUnixTimestamp64Milli(946684800000, 'UTC') AND (muster_person != '' OR muster_distinct_id != '') AND length(muster_person) <= 400 AND position(muster_person, '\0') = 0 AND length(muster_distinct_id) <= 400 AND position(muster_distinct_id, '\0') = 0
),
told AS (
    SELECT distinct_id, person_id, toUnixTimestamp64Milli(timestamp) AS told_ms, multiIf(JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) = 'String', JSONExtractString(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) IN ('Int64', 'UInt64'), JSONExtractRaw(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), '') AS other_id
    FROM events
    WHERE team_id = {team:UInt32} AND event IN ('$create_alias', '$identify', '$merge_dangerously') AND distinct_id != '' AND other_id NOT IN ('', distinct_id) AND length(other_id) <= 400 AND position(other_id, '\0') = 0 AND lower(other_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined') AND lower(distinct_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined')
),
tellers AS (
    SELECT distinct_id, max((toUnixTimestamp64Milli(timestamp), person_id)) AS latest
    FROM events
    WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id IN (SELECT distinct_id FROM told WHERE person_id = '')
    GROUP BY distinct_id
),
paired AS (
    SELECT distinct_id, max(latest) AS newest, newest.2 AS owner
    FROM (
        SELECT distinct_id, (toUnixTimestamp64Milli(timestamp), person_id) AS latest
        FROM events
        WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id != ''
        UNION ALL
        SELECT
            other_id AS distinct_id,
            (told_ms, multiIf(person_id != '', person_id, latest.2 != '', latest.2, told.distinct_id)) AS latest
        FROM told LEFT JOIN tellers ON told.distinct_id = tellers.distinct_id
    )
    GROUP BY distinct_id
)
SELECT uniqExact(person_id) FROM (SELECT multiIf(person_id != '', person_id, owner != '', owner, distinct_id) AS person_id FROM events LEFT JOIN paired USING (distinct_id) WHERE team_id = {team:UInt32} UNION ALL SELECT person_id FROM (
    SELECT
        muster_id AS person_id,
        muster_version AS state_version,
        muster_deleted AS is_deleted,
        multiIf(is_deleted, '{}', muster_properties = '', '{}', muster_properties) AS state,
        if(is_deleted, '', muster_created) AS created
    FROM (
        SELECT
            ifNull(toString(id), '') AS muster_id,
            ifNull(toInt64(updated), -1) AS muster_version,
            ifNull(toBool(gone), false) AS muster_deleted,
            ifNull(toString(attributes), '') AS muster_properties,
            '' AS muster_created
        FROM `shop`.`persons`
        WHERE (account) = {team:UInt32} AND (true)
    ) AS mapped
    WHERE muster_id != '' AND length(muster_id) <= 400 AND position(muster_id, '\0') = 0
        AND muster_version BETWEEN 0 AND 4611686018427387904
        AND isValidJSON(state) AND JSONType(state) = 'Object'
) AS states GROUP BY person_id HAVING NOT argMax(is_deleted, state_version));
WITH events AS (
    SELECT
        {team:UInt32} AS team_id,
        muster_event AS event,
        muster_uuid AS uuid,
        muster_distinct_id AS distinct_id,
        muster_person AS person_id,
        muster_time AS timestamp,
        if(muster_properties = '', '{}', muster_properties) AS properties,
        muster_person_properties AS person_properties
    FROM (
        SELECT
            ifNull(toString(lower(what)), '') AS muster_event,
            ifNull(toString(id), '') AS muster_uuid,
            ifNull(toString(device), '') AS muster_distinct_id,
            ifNull(toString(who), '') AS muster_person,
            assumeNotNull(toDateTime64((parseDateTime64BestEffort(timestamp, 3, 'UTC')), 3, 'UTC')) AS muster_time,
            ifNull(toString(text), '') AS muster_properties,
            ifNull(toString(''), '') AS muster_person_properties
        FROM `shop`.`track-log`
        WHERE (toUInt32OrZero(substring(tenant, 2))) = {team:UInt32} AND (kind = 'track')
    ) AS mapped
    WHERE muster_event != '' AND lengthUTF8(muster_event) <= 200 AND muster_time >= fromUnixTimestamp64Milli(946684800000, 'UTC') AND (muster_person != '' OR muster_distinct_id != '') AND length(muster_person) <= 400 AND position(muster_person, '\0') = 0 AND length(muster_distinct_id) <= 400 AND position(muster_distinct_id, '\0') = 0
),
told AS (
    SELECT distinct_id, person_id, toUnixTimestamp64Milli(timestamp) AS told_ms, multiIf(JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) = 'String', JSONExtractString(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) IN ('Int64', 'UInt64'), JSONExtractRaw(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), '') AS other_id
    FROM events
    WHERE team_id = {team:UInt32} AND event IN ('$create_alias', '$identify', '$merge_dangerously') AND distinct_id != '' AND other_id NOT IN ('', distinct_id) AND length(other_id) <= 400 AND position(other_id, '\0') = 0 AND lower(other_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined') AND lower(distinct_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined')
),
tellers AS (
    SELECT distinct_id, max((toUnixTimestamp64Milli(timestamp), person_id)) AS latest
    FROM events
    WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id IN (SELECT distinct_id FROM told WHERE person_id = '')
    GROUP BY distinct_id
),
paired AS (
    SELECT distinct_id, max(latest) AS newest, newest.2 AS owner
    FROM (
        SELECT distinct_id, (toUnixTimestamp64Milli(timestamp), person_id) AS latest
        FROM events
        WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id != ''
        UNION ALL
        SELECT
            other_id AS distinct_id,
            (told_ms, multiIf(person_id != '', person_id, latest.2 != '', latest.2, told.distinct_id)) AS latest
        FROM told LEFT JOIN tellers ON told.distinct_id = tellers.distinct_id
    )
    GROUP BY distinct_id
)
SELECT distinct_id, newest.2, newest.1
FROM paired;
WITH {now:Int64} AS now,
source AS (
    WITH events AS (
    SELECT
        {team:UInt32} AS team_id,
        muster_event AS event,
        muster_uuid AS uuid,
        muster_distinct_id AS distinct_id,
        muster_person AS person_id,
        muster_time AS timestamp,
        if(muster_properties = '', '{}', muster_properties) AS properties,
        muster_person_properties AS person_properties
    FROM (
        SELECT
            ifNull(toString(lower(what)), '') AS muster_event,
            ifNull(toString(id), '') AS muster_uuid,
            ifNull(toString(device), '') AS muster_distinct_id,
            ifNull(toString(who), '') AS muster_person,
            assumeNotNull(toDateTime64((parseDateTime64BestEffort(timestamp, 3, 'UTC')), 3, 'UTC')) AS muster_time,
            ifNull(toString(text), '') AS muster_properties,
            ifNull(toString(''), '') AS muster_person_properties
        FROM `shop`.`track-log`
        WHERE (toUInt32OrZero(substring(tenant, 2))) = {team:UInt32} AND (kind = 'track')
    ) AS mapped
    WHERE muster_event != '' AND lengthUTF8(muster_event) <= 200 AND muster_time >= fromUnixTimestamp64Milli(946684800000, 'UTC') AND (muster_person != '' OR muster_distinct_id != '') AND length(muster_person) <= 400 AND position(muster_person, '\0') = 0 AND length(muster_distinct_id) <= 400 AND position(muster_distinct_id, '\0') = 0
),
told AS (
    SELECT distinct_id, person_id, toUnixTimestamp64Milli(timestamp) AS told_ms, multiIf(JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) = 'String', JSONExtractString(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) IN ('Int64', 'UInt64'), JSONExtractRaw(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), '') AS other_id
    FROM events
    WHERE team_id = {team:UInt32} AND event IN ('$create_alias', '$identify', '$merge_dangerously') AND distinct_id != '' AND other_id NOT IN ('', distinct_id) AND length(other_id) <= 400 AND position(other_id, '\0') = 0 AND lower(other_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined') AND lower(distinct_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined')
),
tellers AS (
    SELECT distinct_id, max((toUnixTimestamp64Milli(timestamp), person_id)) AS latest
    FROM events
    WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id IN (SELECT distinct_id FROM told WHERE person_id = '')
    GROUP BY distinct_id
),
paired AS (
    SELECT distinct_id, max(latest) AS newest, newest.2 AS owner
    FROM (
        SELECT distinct_id, (toUnixTimestamp64Milli(timestamp), person_id) AS latest
        FROM events
        WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id != ''
        UNION ALL
        SELECT
            other_id AS distinct_id,
            (told_ms, multiIf(person_id != '', person_id, latest.2 != '', latest.2, told.distinct_id)) AS latest
        FROM told LEFT JOIN tellers ON told.distinct_id = tellers.distinct_id
    )
    GROUP BY distinct_id
)
    SELECT
        multiIf(person_id != '', person_id, owner != '', owner, distinct_id) AS person_id,
        event,
        toUnixTimestamp64Milli(timestamp) AS time_ms,
        CRC32(lower(toString(uuid))) AS tag,
        properties,
        person_properties
    FROM events LEFT JOIN paired USING (distinct_id)
    WHERE team_id = {team:UInt32} AND true
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'purchase') AND time_ms > now - 604800000 AS s0
    FROM source
    WHERE s0
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0
    FROM marked
    GROUP BY person_id
),
kept AS (
    SELECT
        person_id,
        CAST(arrayMap(e -> (0, e.1, e.2, NULL), arrayDistinct(arrayConcat(arraySlice(arrayFilter(e -> e.1 > now - 604800000 AND e.1 <= now, t0), -3), arrayFilter(e -> e.1 > now, t0)))), 'Array(Tuple(UInt32, Int64, UInt32, Nullable(Int64)))') AS entries
    FROM timelines
),
writes AS (
    SELECT person_id, name, state_version + 9007199254740992 AS version, multiIf(
        name = 'created_at' AND created != '', concat('"', created, '"'),
        JSONHas(state, name), JSONExtractRaw(state, name),
        'null'
    ) AS value
    FROM (
    SELECT
        muster_id AS person_id,
        muster_version AS state_version,
        muster_deleted AS is_deleted,
        multiIf(is_deleted, '{}', muster_properties = '', '{}', muster_properties) AS state,
        if(is_deleted, '', muster_created) AS created
    FROM (
        SELECT
            ifNull(toString(id), '') AS muster_id,
            ifNull(toInt64(updated), -1) AS muster_version,
            ifNull(toBool(gone), false) AS muster_deleted,
            ifNull(toString(attributes), '') AS muster_properties,
            '' AS muster_created
        FROM `shop`.`persons`
        WHERE (account) = {team:UInt32} AND (true)
    ) AS mapped
    WHERE muster_id != '' AND length(muster_id) <= 400 AND position(muster_id, '\0') = 0
        AND muster_version BETWEEN 0 AND 4611686018427387904
        AND isValidJSON(state) AND JSONType(state) = 'Object'
) AS states
    ARRAY JOIN ['plan'] AS name
    WHERE length(value) <= 1024
        AND (state_version > 0 OR JSONHas(state, name) OR (name = 'created_at' AND created != ''))
),
written AS (
    SELECT
        person_id,
        groupArray((name, latest.1, latest.2)) AS registers
    FROM (SELECT person_id, name, max((version, value)) AS latest FROM writes GROUP BY person_id, name)
    GROUP BY person_id
)
SELECT person_id, entries, registers
FROM kept FULL JOIN written USING (person_id)
WHERE notEmpty(entries) OR notEmpty(registers);
WITH {now:Int64} AS now,
(raw) -> replaceAll(
    arrayFold(
        (text, code) -> replaceAll(text, concat('\\u00', code), concat('\\u00', lower(code))),
        ['0B', '0E', '0F', '1A', '1B', '1C', '1D', '1E', '1F'],
        replaceAll(replaceAll(replaceAll(
            replaceRegexpAll(raw, '("(?:[^"\\\\]|\\\\.)*")|-(0[,\\]}])', '\\1\\2'),
            '\\\\', char(0)), '\\u2028', char(226, 128, 168)), '\\u2029', char(226, 128, 169))
    ), char(0), '\\\\'
) AS compact,
(json, name) -> multiIf(
    JSONType(json, name) IN ('Array', 'Object'), compact(JSONExtractRaw(json, name)),
    JSONType(json, name) = 'Double' AND JSONExtractString(json, name) = '-0', '0',
    JSONExtractString(json, name)
) AS text_of,
source AS (
    WITH events AS (
    SELECT
        {team:UInt32} AS team_id,
        muster_event AS event,
        muster_uuid AS uuid,
        muster_distinct_id AS distinct_id,
        muster_person AS person_id,
        muster_time AS timestamp,
        if(muster_properties = '', '{}', muster_properties) AS properties,
        muster_person_properties AS person_properties
    FROM (
        SELECT
            ifNull(toString(lower(what)), '') AS muster_event,
            ifNull(toString(id), '') AS muster_uuid,
            ifNull(toString(device), '') AS muster_distinct_id,
            ifNull(toString(who), '') AS muster_person,
            assumeNotNull(toDateTime64((parseDateTime64BestEffort(timestamp, 3, 'UTC')), 3, 'UTC')) AS muster_time,
            ifNull(toString(text), '') AS muster_properties,
            ifNull(toString(''), '') AS muster_person_properties
        FROM `shop`.`track-log`
        WHERE (toUInt32OrZero(substring(tenant, 2))) = {team:UInt32} AND (kind = 'track')
    ) AS mapped
    WHERE muster_event != '' AND lengthUTF8(muster_event) <= 200 AND muster_time >= fromUnixTimestamp64Milli(946684800000, 'UTC') AND (muster_person != '' OR muster_distinct_id != '') AND length(muster_person) <= 400 AND position(muster_person, '\0') = 0 AND length(muster_distinct_id) <= 400 AND position(muster_distinct_id, '\0') = 0
),
told AS (
    SELECT distinct_id, person_id, toUnixTimestamp64Milli(timestamp) AS told_ms, multiIf(JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) = 'String', JSONExtractString(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), JSONType(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')) IN ('Int64', 'UInt64'), JSONExtractRaw(properties, multiIf(event = '$identify', '$anon_distinct_id', event = '$create_alias', 'alias', event = '$merge_dangerously', 'alias', '')), '') AS other_id
    FROM events
    WHERE team_id = {team:UInt32} AND event IN ('$create_alias', '$identify', '$merge_dangerously') AND distinct_id != '' AND other_id NOT IN ('', distinct_id) AND length(other_id) <= 400 AND position(other_id, '\0') = 0 AND lower(other_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined') AND lower(distinct_id) NOT IN ('0', '[object object]', 'anonymous', 'distinct_id', 'distinctid', 'email', 'false', 'guest', 'id', 'nan', 'none', 'not_authenticated', 'null', 'true', 'undefined')
),
tellers AS (
    SELECT distinct_id, max((toUnixTimestamp64Milli(timestamp), person_id)) AS latest
    FROM events
    WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id IN (SELECT distinct_id FROM told WHERE person_id = '')
    GROUP BY distinct_id
),
paired AS (
    SELECT distinct_id, max(latest) AS newest, newest.2 AS owner
    FROM (
        SELECT distinct_id, (toUnixTimestamp64Milli(timestamp), person_id) AS latest
        FROM events
        WHERE team_id = {team:UInt32} AND person_id != '' AND distinct_id != ''
        UNION ALL
        SELECT
            other_id AS distinct_id,
            (told_ms, multiIf(person_id != '', person_id, latest.2 != '', latest.2, told.distinct_id)) AS latest
        FROM told LEFT JOIN tellers ON told.distinct_id = tellers.distinct_id
    )
    GROUP BY distinct_id
)
    SELECT
        multiIf(person_id != '', person_id, owner != '', owner, distinct_id) AS person_id,
        event,
        toUnixTimestamp64Milli(timestamp) AS time_ms,
        CRC32(lower(toString(uuid))) AS tag,
        properties,
        person_properties
    FROM events LEFT JOIN paired USING (distinct_id)
    WHERE team_id = {team:UInt32} AND true
),
marked AS (
    SELECT
        person_id,
        time_ms,
        tag,
        (event = 'purchase') AND time_ms > now - 604800000 AS s0
    FROM source
    WHERE s0
),
timelines AS (
    SELECT
        person_id,
        arraySort(groupUniqArrayIf((time_ms, tag), s0)) AS t0
    FROM marked
    GROUP BY person_id
),
writes AS (
    SELECT person_id, name, state_version + 9007199254740992 AS version, multiIf(
        name = 'created_at' AND created != '', concat('"', created, '"'),
        JSONHas(state, name), JSONExtractRaw(state, name),
        'null'
    ) AS value
    FROM (
    SELECT
        muster_id AS person_id,
        muster_version AS state_version,
        muster_deleted AS is_deleted,
        multiIf(is_deleted, '{}', muster_properties = '', '{}', muster_properties) AS state,
        if(is_deleted, '', muster_created) AS created
    FROM (
        SELECT
            ifNull(toString(id), '') AS muster_id,
            ifNull(toInt64(updated), -1) AS muster_version,
            ifNull(toBool(gone), false) AS muster_deleted,
            ifNull(toString(attributes), '') AS muster_properties,
            '' AS muster_created
        FROM `shop`.`persons`
        WHERE (account) = {team:UInt32} AND (true)
    ) AS mapped
    WHERE muster_id != '' AND length(muster_id) <= 400 AND position(muster_id, '\0') = 0
        AND muster_version BETWEEN 0 AND 4611686018427387904
        AND isValidJSON(state) AND JSONType(state) = 'Object'
) AS states
    ARRAY JOIN ['plan'] AS name
    WHERE length(value) <= 1024
        AND (state_version > 0 OR JSONHas(state, name) OR (name = 'created_at' AND created != ''))
),
registers AS (
    SELECT
        person_id,
        if(countIf(name = 'plan') > 0, concat('\x7B"plan":', maxIf((version, value), name = 'plan').2, '\x7D'), '') AS r0
    FROM writes
    GROUP BY person_id
),
persons AS (
    SELECT DISTINCT person_id FROM source UNION DISTINCT SELECT person_id FROM (
    SELECT
        muster_id AS person_id,
        muster_version AS state_version,
        muster_deleted AS is_deleted,
        multiIf(is_deleted, '{}', muster_properties = '', '{}', muster_properties) AS state,
        if(is_deleted, '', muster_created) AS created
    FROM (
        SELECT
            ifNull(toString(id), '') AS muster_id,
            ifNull(toInt64(updated), -1) AS muster_version,
            ifNull(toBool(gone), false) AS muster_deleted,
            ifNull(toString(attributes), '') AS muster_properties,
            '' AS muster_created
        FROM `shop`.`persons`
        WHERE (account) = {team:UInt32} AND (true)
    ) AS mapped
    WHERE muster_id != '' AND length(muster_id) <= 400 AND position(muster_id, '\0') = 0
        AND muster_version BETWEEN 0 AND 4611686018427387904
        AND isValidJSON(state) AND JSONType(state) = 'Object'
) AS states GROUP BY person_id HAVING NOT argMax(is_deleted, state_version)
),
verdicts AS (
    SELECT
        person_id,
        (length(arrayFilter(e -> e.1 > now - 604800000 AND e.1 <= now, t0)) >= 3) AS c0,
        (((JSONType(r0, 'plan') != 'Null') AND text_of(r0, 'plan') IN ('pro'))) AS c1
    FROM persons LEFT JOIN timelines USING (person_id) LEFT JOIN registers USING (person_id)
)
SELECT cohort, person_id
FROM verdicts
ARRAY JOIN if((c0 AND c1), ['c'], []) AS cohort;
