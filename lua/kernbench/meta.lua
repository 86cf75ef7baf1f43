---@meta
-- What C provides, for editors that understand LuaLS annotations. Never loaded.
error("kernbench.meta is for editors; require kernbench.torch, kernbench.tl or kernbench.np")

---A block of memory that a kernel sees: a tensor argument, or made from one by arithmetic or tl.ref.
---@class Pointer
---@field dtype kernbench.Dtype
---@field shape integer[]         what this PE holds
---@field strides integer[]       in elements
---@field global_shape integer[]  of the whole tensor
---@field offset integer[]        where this PE's part begins, per dimension, from 0
---@field name string             of the tensor
---@field part fun(self: Pointer, cube: integer, pe: integer): Pointer  to what another PE holds
---@field whole fun(self: Pointer): Pointer  to all of a tensor that is in one piece or cut by rows alone
---@operator add(integer): Pointer   moves by elements
---@operator add(Tile): Pointers      one pointer per element of a tile of integers
---@operator sub(integer): Pointer

---A block of pointers, for loads and stores of single elements: what Pointer + Tile gives.
---@class Pointers
---@field dtype kernbench.Dtype
---@field shape integer[]
---@field name string             of the tensor
---@operator add(integer): Pointers
---@operator add(Tile): Pointers      adds up the offsets, which broadcast
---@operator sub(integer): Pointers

---A tensor in memory, moved in blocks: what tl.make_tensor_descriptor returns.
---@class Descriptor
---@field shape integer[]
---@field strides integer[]       in elements
---@field block_shape integer[]
---@field dtype kernbench.Dtype
---@field load fun(self: Descriptor, offsets: integer[]): Tile  0 where the block lies outside
---@field load_async fun(self: Descriptor, offsets: integer[]): Handle
---@field store fun(self: Descriptor, offsets: integer[], value: Tile)  what lies outside is not written
---@field store_async fun(self: Descriptor, offsets: integer[], value: Tile): Handle

---An operation under way; for tl.wait.
---@class Handle

---@class kernbench.core
---@field version string
local core = {}

---Open a simulation. Returns nil and a message if the topology cannot be read or understood.
---@param options {topology: string, sets?: string[], data?: boolean, data_threads?: integer}
---@return kernbench.Engine? engine
---@return string? message
function core.open(options) end

---Folder that holds lua/, benches/, kernels/ and topology.yaml.
---@return string
function core.home() end

---Wall time in seconds of a clock that only runs forward.
---@return number
function core.clock() end

---Whether standard error is a terminal.
---@return boolean
function core.is_terminal() end

---The table of facts that belong to the bench or worker that runs; nil outside of any and in kernels.
---@return kernbench.Process?
function core.context() end

---Raise an error at the nearest line of the user's code.
---@param message string
function core.raise(message) end

---@return string that line, as "file:line"
function core.where() end

---@return string[] names of all probe cases, in order
function core.probe_cases() end

---Run probes, each on a fresh machine.
---@param topology string
---@param sets string[]
---@param runs (string|integer)[] case, bytes, case, bytes, ...
---@return {cases: table[], invariants: table[]}? result
---@return string? message
function core.probe(topology, sets, runs) end

---@class kernbench.Engine
local Engine = {}

---Run a function as the bench until it and everything it started have ended.
---@param bench fun()
---@param max_ns number?
---@param max_events integer?
---@param progress boolean?  on standard error
---@return {status: "ok"|"error"|"deadlock"|"limit", error?: string, waiting?: table[]}
function Engine:run(bench, max_ns, max_events, progress) end

---Let simulated time pass. Waits.
---@param ns number
function Engine:sleep(ns) end

---@return number simulated time in ns
function Engine:now_ns() end

---@return boolean whether numbers are computed
function Engine:has_data() end

---@return {sips: integer, cubes: integer, pes: integer, slices: integer, mesh_w: integer, mesh_h: integer}
function Engine:machine() end

---@return table totals of the run: sim_ns, events, bytes, engines, audit, ...
function Engine:stats() end

---@return table[] name, sip, pes, sent_ns, start_ns, end_ns, completed_ns, failed, errors
function Engine:launches() end

---What tensors of a placement are made from.
---@param placement kernbench.Placement
---@return userdata
function Engine:placement(placement) end

---@return kernbench.DeviceTensor
function Engine:tensor(description) end

---@return kernbench.DeviceLaunch
function Engine:launch(description) end

---Give PEs the rings of a plan. Waits.
---@param plan kernbench.IpcqPlan
function Engine:install_ipcq(plan) end

---Take the rings of a plan away again. Waits.
---@param name string
function Engine:remove_ipcq(name) end

---Run fn(rank) as n workers, ranks from 0. Does not wait.
---@param fn fun(rank: integer)
---@param n integer
---@return kernbench.Workers
function Engine:spawn(fn, n) end

---@return kernbench.Event
function Engine:event() end

function Engine:settle() end
function Engine:close() end

---@class kernbench.IpcqPlan
---@field name string a plan of the same name is replaced
---@field buffer_kind "tcm"|"hbm"|"sram"? where rings lie; default tcm
---@field n_slots integer? of a ring; default 4
---@field slot_size integer? bytes; default 4096
---@field backpressure "sleep"|"poll"? of a sender without a free slot; default sleep
---@field credit_bytes integer? default 16
---@field vc_chunk integer? bytes of a transaction at most; default 0: a slot at once
---@field pes kernbench.IpcqPe[]

---@class kernbench.IpcqPe
---@field sip integer
---@field cube integer
---@field pe integer
---@field rank integer? not used
---@field directions {name: string, peer: integer[], peer_direction: string}[] peer: {sip, cube, pe}

---@class kernbench.DeviceTensor
local DeviceTensor = {}

---Write the selected elements of every copy from the host. Waits.
---@param array kernbench.array? broadcast and converted; without it the bytes move and the contents stay
---@param key integer|table|nil  as for np arrays; everything if absent
function DeviceTensor:write(array, key) end

---Read the selected elements of one copy of every piece. Waits.
---@param key integer|table|nil
---@return kernbench.array
function DeviceTensor:read(key) end

---Make it reachable for the PEs of a SIP. Waits unless it is.
---@param sip integer
function DeviceTensor:map(sip) end

---@return boolean  whether a call can wait here
function DeviceTensor:can_wait() end

function DeviceTensor:free() end
function DeviceTensor:is_freed() end
function DeviceTensor:get_name() end

---@class kernbench.DeviceLaunch
local DeviceLaunch = {}

---Wait until the host knows of the completion; raises if an instance failed.
function DeviceLaunch:wait() end

---@return boolean
function DeviceLaunch:done() end

---The workers of one spawn.
---@class kernbench.Workers
local Workers = {}

---Wait until all have ended.
function Workers:wait() end

---@return boolean
function Workers:done() end

---What ended that worker: the message and its traceback; nil if it has not failed.
---@param rank integer
---@return string?
function Workers:error(rank) end

---Run fn(rank) beside the worker of that rank, which is running; it ends with the workers if one fails. Does not wait.
---@param rank integer
---@param fn fun(rank: integer)
function Workers:help(rank, fn) end

---Something that host programs can wait for; takes no simulated time.
---@class kernbench.Event
local Event = {}

---Wake those who wait, in the order in which they began to. It stays set.
function Event:set() end

---@return boolean
function Event:is_set() end

---Wait until it is set.
---@param call string what the user called, for the deadlock table
function Event:wait(call) end
