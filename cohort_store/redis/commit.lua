#!lua
-- The commit rule: one call applies one shard's commit whole, or not at all.
--
-- KEYS: pos, timers, outbox of the shard. Its other keys are made from the same prefix, so they share the slot.
-- ARGV, made by commits.py: the commit id that the owner saw last (empty: none), then sections, each behind its length:
--   position      field, value, ...; the second is the new commit id
--   records       subject, packed record, due time, ...: the due time counts where it is earlier than the one held
--   rearmed       subject, packed record, due time, ...: the due time replaces
--   sets          subject, member, how many handles follow, handles joined, how many follow, handles departed, ...
--   deleted       subject, member, ...
--   distinct ids  distinct id, person, ...
--   changes       change, ...
--   unlisted      handle, ...: no member list is kept of these
--   nobody's      distinct id, version without a person, for how many milliseconds, ...; left out where there is none
-- Returns 1 where the commit is applied (now, or by an earlier call with the same id), 0 where somebody else wrote.
--
-- A script that fails midway is not rolled back: every check comes first, the position last.

local BUCKET_LOAD = 48 -- members a bucket on average; the fullest then stays below 128, where a set turns from a list into a table

local pos, timers, outbox = KEYS[1], KEYS[2], KEYS[3]
local prefix = string.sub(pos, 1, -4)

local read = 1
local function section()
  local first, last = read + 1, read + tonumber(ARGV[read])
  read = last + 1
  return first, last
end

local expected = ARGV[1]
read = 2
local position, position_end = section()
local records, records_end = section()
local rearmed, rearmed_end = section()
local sets, sets_end = section()
local deleted, deleted_end = section()
local people, people_end = section()
local changes, changes_end = section()
local unlisted_first, unlisted_end = section()
local unlisted = {}
for i = unlisted_first, unlisted_end do unlisted[ARGV[i]] = true end
local nobodys, nobodys_end = 1, 0
if ARGV[read] then nobodys, nobodys_end = section() end

local present = redis.call('HGET', pos, 'commit') or ''
if present == ARGV[position + 1] then return 1 end
if present ~= expected then return 0 end

local counts = prefix .. 'n'

-- Linear hashing: with 2^k <= buckets < 2^(k+1), a member's bucket is its hash modulo 2^(k+1), or modulo 2^k
-- where that bucket is not there yet. So one more bucket takes members from one other only.
local function floor_power(buckets)
  local size = 1
  while size * 2 <= buckets do size = size * 2 end
  return size
end

local function hash(member)
  return tonumber(string.sub(redis.sha1hex(member), 1, 8), 16)
end

local function bucket_key(handle, bucket)
  return prefix .. 'c:' .. handle .. ':' .. bucket
end

local function key_of(handle, member, buckets)
  if buckets == 1 then return bucket_key(handle, 0) end
  local size = floor_power(buckets)
  local bucket = hash(member) % (size * 2)
  if bucket >= buckets then bucket = bucket - size end
  return bucket_key(handle, bucket)
end

local function split(handle, buckets)
  local size = floor_power(buckets)
  local from, to = bucket_key(handle, buckets - size), bucket_key(handle, buckets)
  local moved = {}
  for _, member in ipairs(redis.call('SMEMBERS', from)) do
    if hash(member) % (size * 2) == buckets then moved[#moved + 1] = member end
  end
  if #moved > 0 then
    redis.call('SADD', to, unpack(moved))
    redis.call('SREM', from, unpack(moved))
  end
  redis.call('HSET', counts, 'b' .. handle, buckets + 1)
end

local function list(handle, member, count)
  local buckets = tonumber(redis.call('HGET', counts, 'b' .. handle))
  if not buckets then
    buckets = 1
    redis.call('HSET', counts, 'b' .. handle, 1)
  end
  redis.call('SADD', key_of(handle, member, buckets), member)
  if count > buckets * BUCKET_LOAD then split(handle, buckets) end
end

local function join(memberships, handle, member)
  if redis.call('SADD', memberships, handle) == 0 then return end
  local count = redis.call('HINCRBY', counts, handle, 1)
  if not unlisted[handle] then list(handle, member, count) end
end

local function forget(handle, member)
  local buckets = tonumber(redis.call('HGET', counts, 'b' .. handle))
  if buckets then redis.call('SREM', key_of(handle, member, buckets), member) end
  if redis.call('HINCRBY', counts, handle, -1) <= 0 then redis.call('HDEL', counts, handle, 'b' .. handle) end
end

local function depart(memberships, handle, member)
  if redis.call('SREM', memberships, handle) == 1 then forget(handle, member) end
end

-- Lua's own comparison follows the server's locale.
local function is_greater(a, b)
  for i = 1, math.min(#a, #b) do
    local x, y = string.byte(a, i), string.byte(b, i)
    if x ~= y then return x > y end
  end
  return #a > #b
end

local function handles(at)
  return at + 1, at + tonumber(ARGV[at])
end

for i = changes, changes_end do redis.call('XADD', outbox, '*', 'c', ARGV[i]) end

while sets < sets_end do
  local memberships, member = prefix .. 'u:' .. ARGV[sets], ARGV[sets + 1]
  local joined, joined_end = handles(sets + 2)
  local departed, departed_end = handles(joined_end + 1)
  for i = joined, joined_end do join(memberships, ARGV[i], member) end
  for i = departed, departed_end do depart(memberships, ARGV[i], member) end
  sets = departed_end + 1
end
for i = deleted, deleted_end, 2 do
  local memberships = prefix .. 'u:' .. ARGV[i]
  for _, handle in ipairs(redis.call('SMEMBERS', memberships)) do forget(handle, ARGV[i + 1]) end
  redis.call('DEL', memberships)
end

local written = {}
local function arm(first, last)
  local due = {}
  for i = first, last, 3 do
    due[#due + 1] = ARGV[i + 2]
    due[#due + 1] = ARGV[i]
    written[#written + 1] = prefix .. 'p:' .. ARGV[i]
    written[#written + 1] = ARGV[i + 1]
  end
  return due
end
local earlier, replaced = arm(records, records_end), arm(rearmed, rearmed_end)
if #earlier > 0 then redis.call('ZADD', timers, 'LT', unpack(earlier)) end
if #replaced > 0 then redis.call('ZADD', timers, unpack(replaced)) end
for i = deleted, deleted_end, 2 do redis.call('ZREM', timers, ARGV[i]) end

if #written > 0 then redis.call('MSET', unpack(written)) end
for i = deleted, deleted_end, 2 do redis.call('DEL', prefix .. 'p:' .. ARGV[i]) end
for i = people, people_end, 2 do
  local key = prefix .. 'd:' .. ARGV[i]
  local held = redis.call('GET', key)
  if not held or is_greater(ARGV[i + 1], held) then redis.call('SET', key, ARGV[i + 1]) end
end
for i = nobodys, nobodys_end, 3 do
  local key = prefix .. 'd:' .. ARGV[i]
  local held = redis.call('GET', key)
  if not held or is_greater(ARGV[i + 1], held) then redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[i + 2]) end
end

redis.call('DEL', pos)
redis.call('HSET', pos, unpack(ARGV, position, position_end))
return 1
