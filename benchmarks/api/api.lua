-- The three source APIs at almost no CPU. The path says how many users there are and after how many milliseconds they
-- are told: /100000/50/users?_page=1&_limit=1000
local M = {}

local PEOPLE = {
  { "Leanne Graham", "Bret", "april.biz", "1-770-736-8031 x56442", "hildegard.org", "Romaguera-Crona", "Multi-layered client-server neural-net", "harness real-time e-markets" },
  { "Ervin Howell", "Antonette", "melissa.tv", "010-692-6593 x09125", "anastasia.net", "Deckow-Crist", "Proactive didactic contingency", "synergize scalable supply-chains" },
  { "Clementine Bauch", "Samantha", "yesenia.net", "1-463-123-4447", "ramiro.info", "Romaguera-Jacobson", "Face to face bifurcated interface", "e-enable strategic applications" },
  { "Mrs. Dennis Schulist", "Leopoldo_Corkery", "jasper.info", "1-477-935-8478 x6430", "ola.org", "Considine-Lockman", "Synchronised bottom-line interface", "e-enable innovative applications" },
}
local TAIL = {}
for i, p in ipairs(PEOPLE) do
  TAIL[i] = '","address":{"street":"Kulas Light","suite":"Apt. 556","city":"Gwenborough","zipcode":"92998-3874","geo":{"lat":"-37.3159","lng":"81.1496"}},"phone":"'
    .. p[4] .. '","website":"' .. p[5] .. '","company":{"name":"' .. p[6] .. '","catchPhrase":"' .. p[7] .. '","bs":"' .. p[8] .. '"}}'
end

local function users_json(first, last)
  local out, n = {}, 0
  for id = first, last do
    local k = id % #PEOPLE + 1
    local p = PEOPLE[k]
    n = n + 1
    out[n] = '{"id":' .. id .. ',"name":"' .. p[1] .. ' ' .. id .. '","username":"' .. p[2] .. id .. '","email":"u' .. id .. '@' .. p[3] .. TAIL[k]
  end
  return "[" .. table.concat(out, ",", 1, n) .. "]"
end

local POOL = 1000
local function pool(make)
  local t = {}
  for i = 1, POOL do t[i] = make(i) end
  for i = 1, POOL do t[POOL + i] = t[i] end -- doubled, so that any run of up to POOL records is contiguous
  return t
end

local STATES = { "Kansas", "New Mexico", "Utah", "Delaware", "Oregon", "South Carolina", "Idaho" }
local COUNTRIES = { "Qatar", "Saint Helena", "Denmark", "Burkina Faso", "Bolivia", "Finland", "Tuvalu" }
local CARDS = { "1228-1221-1221-1431", "1234-2121-1221-1211", "1212-1221-1121-1234", "1211-1221-1234-2201" }
local TYPES = { "visa", "mastercard", "american_express", "jcb", "diners_club", "switch", "solo", "maestro", "dankort", "forbrugsforeningen" }

local function uid(i) return string.format("%08x-5e38-48f8-a029-%012x", i * 2654435761 % 4294967296, i) end

local addresses = pool(function(i)
  return string.format(
    '{"id":%d,"uid":"%s","city":"South Catherinafurt %d","street_name":"Ewa Mission","street_address":"%d Fay Turnpike","secondary_address":"Suite %d","building_number":"%d","mail_box":"PO Box %d","community":"Eagle Acres","zip_code":"%05d-4234","zip":"%05d-3386","postcode":"%05d","time_zone":"Pacific/Pago_Pago","street_suffix":"Pine","city_suffix":"port","city_prefix":"Lake","state":"%s","state_abbr":"RI","country":"%s","country_code":"VC","latitude":-61.62785550302492,"longitude":75.4799219661873,"full_address":"%d Harber Hollow, Lake Lakiesha, TN 97172-4929"}',
    i, uid(i), i, 100 + i, i, 300 + i, i, i * 7 % 100000, i * 11 % 100000, i * 13 % 100000, STATES[i % 7 + 1], COUNTRIES[i % 7 + 1], i)
end)
local cards = pool(function(i)
  return string.format('{"id":%d,"uid":"%s","credit_card_number":"%s","credit_card_expiry_date":"20%02d-01-28","credit_card_type":"%s"}',
    i, uid(i), CARDS[i % 4 + 1], 27 + i % 4, TYPES[i % 10 + 1])
end)

local function wait()
  local milliseconds = tonumber(ngx.var.delay)
  if milliseconds > 0 then ngx.sleep(milliseconds / 1000) end
end

local function send(body)
  ngx.header["Content-Type"] = "application/json; charset=utf-8"
  ngx.header["Content-Length"] = #body
  ngx.print(body)
end

function M.users()
  wait()
  local total = tonumber(ngx.var.total)
  local page, limit = tonumber(ngx.var.arg__page), tonumber(ngx.var.arg__limit)
  if not page then return send(users_json(1, math.min(limit or 10, total))) end
  limit = limit or 10
  local last_page = math.ceil(total / limit)
  local url = "<" .. ngx.var.scheme .. "://" .. ngx.var.http_host .. ngx.var.uri .. "?_limit=" .. limit .. "&_page="
  local link = { url .. '1>; rel="first"' }
  if page > 1 then link[#link + 1] = url .. (page - 1) .. '>; rel="prev"' end
  if page < last_page then link[#link + 1] = url .. (page + 1) .. '>; rel="next"' end
  link[#link + 1] = url .. last_page .. '>; rel="last"'
  ngx.header["X-Total-Count"] = total
  ngx.header["Link"] = table.concat(link, ", ")
  return send(users_json((page - 1) * limit + 1, math.min(page * limit, total)))
end

local function draw(records)
  wait()
  local size = tonumber(ngx.var.arg_size)
  local at = math.random(POOL)
  if not size or size < 2 then return send(records[at]) end
  return send("[" .. table.concat(records, ",", at, at + math.min(size, 100) - 1) .. "]")
end

function M.addresses() return draw(addresses) end
function M.cards() return draw(cards) end

return M
