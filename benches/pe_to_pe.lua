-- How long a message from one PE to another takes, by size and distance: through a queue (tl.send,
-- tl.recv), by a put and a signal, and as the other PE's load and store.
local columns = require("kernbench.cli.columns").text
local np = require "kernbench.np"
local runtime = require "kernbench.runtime"
local tl = require "kernbench.tl"
local torch = require "kernbench.torch"

-- From PE 0 of cube 0 of SIP 0; those that this machine has.
local function distances(machine)
  local list = { { name = "same cube, near", 0, 0, 1 }, { name = "same cube, far", 0, 0, machine.pes - 1 },
    { name = "next cube", 0, 1, 0 }, { name = "cube below", 0, machine.mesh_w, 0 }, { name = "next SIP", 1, 0, 0 } }
  local limits, present = { machine.sips, machine.cubes, machine.pes }, {}
  for _, to in ipairs(list) do
    if to[1] < limits[1] and to[2] < limits[2] and to[3] > -1 and to[3] < limits[3]
      and not (to[2] == 0 and to[1] == 0 and to[3] == 0) then
      present[#present + 1] = to
    end
  end
  return present
end

local function sizes_of(text)
  local sizes = {}
  for word in text:gmatch "[^,%s]+" do
    local size = math.tointeger(tonumber(word))
    assert(size and size > 0 and size % 4 == 0, ("sizes: '%s' is not a multiple of 4 B"):format(word))
    sizes[#sizes + 1] = size
  end
  assert(#sizes > 0, "sizes: expected a list such as 128,4096")
  return sizes
end

-- Which PE runs: "out", that from which messages come, "in", that to which they go, or neither.
local function role(to)
  local sip, cube, pe = tl.program_id(2), tl.program_id(1), tl.program_id(0)
  if sip == 0 and cube == 0 and pe == 0 then
    return "out"
  elseif sip == to[1] and cube == to[2] and pe == to[3] then
    return "in"
  end
end

-- The receiver says that it is ready; then the clock runs until it has the message.
local function through_a_queue(from, into, to, sizes, times)
  local who, began = role(to), times
  for i, size in ipairs(sizes) do
    local shape = { size // 4 }
    if who == "out" then
      local x = tl.load(from, shape)
      tl.recv("there", { 1 }, "f32")
      began[i] = tl.now()
      tl.send("there", x)
    elseif who == "in" then
      local coming = tl.recv_async("back", shape, "f32")
      tl.send("back", tl.zeros({ 1 }, "f32"))
      local x = tl.wait(coming)
      times[i] = tl.now() - began[i]
      tl.store(into, x)
    end
  end
end

local function by_put_and_signal(from, into, to, sizes, times)
  local who, began = role(to), times
  for i, size in ipairs(sizes) do
    if who == "out" then
      local x = tl.load(from, { size // 4 })
      tl.signal_wait(0)
      began[i] = tl.now()
      tl.put({ sip = to[1], cube = to[2], pe = to[3] }, into, x)
      tl.signal({ sip = to[1], cube = to[2], pe = to[3] }, 1)
    elseif who == "in" then
      tl.signal({ sip = 0, cube = 0, pe = 0 }, 0)
      tl.signal_wait(1)
      times[i] = tl.now() - began[i]
    end
  end
end

local function by_load_and_store(from, into, to, sizes, times)
  for i, size in ipairs(sizes) do
    if role(to) == "in" then
      local began = tl.now()
      tl.store(into, tl.load(from, { size // 4 }))
      times[i] = tl.now() - began
    end
  end
end

local function install(args, to)
  runtime.engine:install_ipcq {
    name = "pe_to_pe", buffer_kind = args.buffer, n_slots = args.n_slots, slot_size = args.slot_size,
    backpressure = args.backpressure, pes = {
      { sip = 0, cube = 0, pe = 0, directions = { { name = "there", peer = to, peer_direction = "back" } } },
      { sip = to[1], cube = to[2], pe = to[3],
        directions = { { name = "back", peer = { 0, 0, 0 }, peer_direction = "there" } } } } }
end

-- A row of numbers on every PE of a SIP up to the farther of the two.
local function rows_on(sip, to, count, first)
  local cubes, pes = to[2] + 1, to[3] + 1
  torch.ahbm.set_device(sip)
  return torch.from_numpy(np.arange(first, first + cubes * pes * count, 1, "f32"):reshape { cubes, pes * count }, {
    dp = torch.DPPolicy { cube = "row_wise", pe = "column_wise", num_cubes = cubes, num_pes = pes } })
end

-- What arrived is what was sent: the first numbers of the last row are those of the first.
local function check(from, into, to, count)
  if torch.ahbm.has_data() then
    local sent, got = from:numpy(), into:numpy()
    local column = to[3] * (into.shape[2] // (to[3] + 1))
    assert(np.array_equal(got[{ { to[2], to[2] + 1 }, { column, column + count } }],
      sent[{ { 0, 1 }, { 0, count } }]), "what arrived is not what was sent")
  end
end

-- Times in ns by each way, one for every size.
local function measure(args, to, sizes)
  local most = math.max(table.unpack(sizes)) // 4
  local times = { queue = {}, put = {}, load = {} }
  local from <close> = rows_on(0, { 0, 0, 0 }, most, 0)
  local into <close> = rows_on(to[1], to, most, 1000000)
  local function launch(name, kernel, list)
    if torch.ahbm.has_data() then
      into.data = np.zeros(into.shape, "f32")
    end
    torch.launch { name = name, kernel = kernel, args = { from, into, to, sizes, list },
      pes = { { sip = 0, cube = 0, pe = 0 }, { sip = to[1], cube = to[2], pe = to[3] } } }
    check(from, into, to, sizes[#sizes] // 4)
  end
  install(args, to)
  launch("queue", through_a_queue, times.queue)
  launch("put", by_put_and_signal, times.put)
  launch("load", by_load_and_store, times.load)
  torch.accelerator.synchronize()
  return times
end

local function ns(value)
  return ("%.3f"):format(value)
end

local function run(args)
  local sizes, rows = sizes_of(args.sizes), {}
  local shown = { { "distance", "bytes", "queue ns", "put + signal ns", "load + store ns" } }
  for _, to in ipairs(distances(runtime.machine)) do
    local times = measure(args, to, sizes)
    for i, size in ipairs(sizes) do
      shown[#shown + 1] = { to.name, tostring(size), ns(times.queue[i]), ns(times.put[i]), ns(times.load[i]) }
      rows[#rows + 1] = { distance = to.name, bytes = size, queue_ns = times.queue[i], put_ns = times.put[i],
        load_store_ns = times.load[i] }
    end
  end
  print(columns(shown))
  return { rows = rows }
end

return {
  name = "pe_to_pe",
  description = "Latency of a message between two PEs by size and distance, beside a put and a load and store.",
  args = { sizes = "128,256,384,512,1024,2048,4096,10240", buffer = "tcm", n_slots = 4, slot_size = 4096,
    backpressure = "sleep" },
  run = run,
}
