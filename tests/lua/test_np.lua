local lu = require "luaunit"
local np = require "kernbench.np"

-- a's elements are exactly those of the nested table, and its dtype is `dtype` if given
local function check(a, expected, dtype)
  lu.assertTrue(np.isarray(a))
  lu.assertEquals(a:tolist(), expected)
  if dtype then lu.assertEquals(a.dtype, dtype) end
end

local function fails(pattern, f, ...)
  lu.assertErrorMsgContains(pattern, f, ...)
end

local create = {}

function create.test_constants_have_the_shape_and_type_asked_for()
  check(np.zeros({2, 3}), {{0, 0, 0}, {0, 0, 0}}, "f64")
  check(np.ones({2}, "f16"), {1, 1}, "f16")
  check(np.ones({2}, {dtype = "u8"}), {1, 1}, "u8")
  check(np.full({2, 1}, 7), {{7}, {7}}, "i64")
  check(np.full(2, 2.5, "bf16"), {2.5, 2.5}, "bf16")
  check(np.eye(2, "i32"), {{1, 0}, {0, 1}}, "i32")
  lu.assertEquals(np.empty({4, 5}).size, 20)
  check(np.zeros_like(np.ones({2}, "i8")), {0, 0}, "i8")
end

function create.test_arange_counts_like_numpy()
  check(np.arange(4), {0, 1, 2, 3}, "i64")
  check(np.arange(3, "f16"), {0, 1, 2}, "f16")
  check(np.arange(2, 5, {dtype = "f32"}), {2, 3, 4}, "f32")
  check(np.arange(5, 0, -2), {5, 3, 1}, "i64")
  check(np.arange(0, 1, 0.25), {0, 0.25, 0.5, 0.75}, "f64")
  check(np.arange(0), {}, "i64")
  fails("step is 0", np.arange, 0, 1, 0)
end

function create.test_tables_become_arrays_of_the_type_they_suggest()
  check(np.array {{1, 2}, {3, 4}}, {{1, 2}, {3, 4}}, "i64")
  check(np.array {1, 2.5}, {1, 2.5}, "f64")
  check(np.array {true, false}, {true, false}, "bool")
  check(np.array({1, -1}, "i8"), {1, -1}, "i8")
  lu.assertEquals(np.array(3).ndim, 0)
  lu.assertEquals(np.array {{}, {}}.shape, {2, 0})
end

function create.test_unfit_tables_are_refused_with_a_reason()
  fails("ragged", np.array, {{1, 2}, {3}})
  fails("ragged", np.array, {1, {2}})
  fails("300 has no exact value in u8", np.array, {300}, "u8")
  fails("1.5 has no exact value in i32", np.array, {1.5}, "i32")
  fails("string where a number is expected", np.array, {1, "2"})
  fails("unknown dtype 'f15'", np.zeros, {2}, "f15")
  fails("none negative", np.zeros, {-1})
  fails("at most 8", np.zeros, {1, 1, 1, 1, 1, 1, 1, 1, 1})
  fails("more than this machine has", np.zeros, {1 << 50})
  fails("overflows", np.zeros, {1 << 40, 1 << 40})
end

function create.test_errors_name_the_line_of_the_call()
  local here = debug.getinfo(1, "S").short_src .. ":"
  for _, call in ipairs {
    function() local _ = np.random(1):randint(5, 5, {2}) end,
    function() local _ = np.random(1):randint("x", 5, {2}) end,
    function() local _ = np.eye("x") end,
    function() local _ = np.eye(2, "f15") end,
  } do
    local ok, message = pcall(call)
    lu.assertFalse(ok)
    lu.assertStrContains(message, here .. debug.getinfo(call, "S").linedefined .. ": ")
  end
end

function create.test_an_array_knows_its_properties()
  local a = np.zeros({3, 4}, "f16")
  lu.assertEquals(a.shape, {3, 4})
  lu.assertEquals({a.dtype, a.ndim, a.size, a.nbytes, #a}, {"f16", 2, 12, 24, 3})
  fails("cannot be set", function() a.shape = {12} end)
  lu.assertNil(a.nothing)
end

local index = {}

local function numbered() -- row i, column j holds 10 i + j
  return np.arange(3):reshape {3, 1} * 10 + np.arange(4)
end

function index.test_indices_count_from_zero_and_negative_ones_from_the_end()
  local a = numbered()
  lu.assertEquals(a[{0, 0}], 0)
  lu.assertEquals(a[{2, 3}], 23)
  lu.assertEquals(a[{-1, -4}], 20)
  check(a[1], {10, 11, 12, 13})
  check(a[{1}], {10, 11, 12, 13})
  lu.assertIs(math.type(a[{0, 0}]), "integer")
  lu.assertIs(np.array({true})[0], true)
end

function index.test_ranges_copy_rectangles()
  local a = numbered()
  check(a[{{0, 2}, {}}], {{0, 1, 2, 3}, {10, 11, 12, 13}})
  check(a[{{}, {1, 3}}], {{1, 2}, {11, 12}, {21, 22}})
  check(a[{{0, 3, 2}, 1}], {1, 21})
  check(a[{{1}}], {{10, 11, 12, 13}, {20, 21, 22, 23}})
  check(a[{{}, {-2, -1}}], {{2}, {12}, {22}})
  check(a[{{1, 1}, {}}], {})
  local part = a[{{0, 1}, {0, 1}}]
  part[{0, 0}] = 99
  lu.assertEquals(a[{0, 0}], 0)
end

function index.test_whatever_lies_outside_is_an_error()
  local a = numbered()
  fails("dimension 0: index 3 outside an extent of 3", function() return a[{3, 0}] end)
  fails("dimension 1: index -5", function() return a[{0, -5}] end)
  fails("dimension 1: index 5 outside", function() return a[{0, {0, 5}}] end)
  fails("3 indices for an array of rank 2", function() return a[{0, 0, 0}] end)
  fails("step is at least 1", function() return a[{{0, 2, 0}}] end)
  fails("expected an integer index", function() return a[{0.5, 0}] end)
  fails("integer or a table", function() return a[0.5] end)
end

function index.test_assignment_takes_numbers_and_arrays_and_broadcasts()
  local a = np.zeros({2, 3}, "i32")
  a[{0, 0}] = 5
  a[{{}, 2}] = np.array {7, 8}
  check(a, {{5, 0, 7}, {0, 0, 8}})
  a[1] = np.array {1.0, 2.0, 3.0}
  check(a, {{5, 0, 7}, {1, 2, 3}})
  a[{{}, {0, 2}}] = np.array {{9}, {10}}
  check(a, {{9, 9, 7}, {10, 10, 3}})
  a[{}] = 4
  check(a, {{4, 4, 4}, {4, 4, 4}})
  a[{{0, 1}}] = a[{{1, 2}}] + 1
  check(a, {{5, 5, 5}, {4, 4, 4}})
  fails("(2,) does not broadcast to (3,)", function() a[0] = np.zeros {2} end)
  fails("1.5 has no exact value in i32", function() a[0] = 1.5 end)
  fails("number or boolean expected", function() a[0] = "1" end)
end

local math_tests = {}

function math_tests.test_operators_broadcast_and_numbers_adopt_the_type()
  local a = np.array({{1, 2}, {3, 4}}, "f16")
  check(a + 1, {{2, 3}, {4, 5}}, "f16")
  check(10 - a, {{9, 8}, {7, 6}}, "f16")
  check(a * np.array({10, 100}, "f16"), {{10, 200}, {30, 400}}, "f16")
  check(a / 2, {{0.5, 1}, {1.5, 2}}, "f16")
  check(-a // 2, {{-1, -1}, {-2, -2}}, "f16")
  check(a % 2, {{1, 0}, {1, 0}})
  check(a ^ 2, {{1, 4}, {9, 16}}, "f16")
  local i = np.array({5, 6}, "i8")
  check(i & 4 | 1, {5, 5}, "i8")
  check(i ~ 1, {4, 7})
  check(i << 1, {10, 12})
  check(i >> 1, {2, 3})
  check(~i, {-6, -7})
  check(i / 2, {2.5, 3}, "f64")
  check(i * 0.5, {2.5, 3}, "f64")
  check(np.array({true}) + 1, {2}, "i64")
end

function math_tests.test_f16_rounds_after_every_operation()
  local a = np.array({2048}, "f16") -- above 2048 halves are 2 apart; ties go to even
  check(a + 1, {2048})
  check(a + 1 + 1, {2048})
  check(a + 3, {2052})
  check(np.array({60000}, "f16") * 2, {math.huge})
  check(np.array({256}, "bf16") + 1, {256}) -- 8 bits: 256 and 258
end

function math_tests.test_operations_without_meaning_are_errors()
  local a = np.zeros {2, 3}
  fails("(2, 3) and (2,) do not broadcast", function() return a + np.zeros {2} end)
  fails("bitwise_and is not defined for f64 and f64", function() return a & a end)
  fails("division by zero", function() return np.array {1} // 0 end)
  fails("np.lt", function() return a < a end)
  fails("array or number expected", function() return a + {} end)
  fails("array or number expected, got nil", np.add, 1)
  fails("300 has no exact value in u8", function() return np.zeros({1}, "u8") + 300 end)
end

function math_tests.test_comparisons_make_masks()
  local a = np.array {1, 2, 3}
  check(np.lt(a, 2), {true, false, false}, "bool")
  check(a:ge(2) & a:ne(3), {false, true, false}, "bool")
  check(~np.eq(a, 1), {false, true, true}, "bool")
  check(np.where(a:gt(1), a, 0), {0, 2, 3}, "i64")
  check(a:clip(2, 2), {2, 2, 2})
  lu.assertIs(np.lt(a, 4):all(), true)
  lu.assertIs(np.gt(a, 4):any(), false)
end

function math_tests.test_functions_apply_to_every_element()
  check(np.sqrt(np.array({4, 9}, "f16")), {2, 3}, "f16")
  check(np.exp(np.zeros({2}, "f32")), {1, 1}, "f32")
  check(np.array({-1.5, 2}):abs(), {1.5, 2})
  check(np.maximum(np.array {1, 5}, 3), {3, 5})
  check(np.sigmoid(np.zeros {1}), {0.5})
  check(np.array({-2.5, 2.5}):floor(), {-3, 2})
  check(np.isnan(np.array {0 / 0, 1}), {true, false})
end

function math_tests.test_reductions()
  local a = np.array({{1, 5, 3}, {4, 2, 6}}, "f16")
  lu.assertEquals(a:sum(), 21)
  check(a:sum(0), {5, 7, 9}, "f16")
  check(a:sum(-1), {9, 12})
  check(a:mean(1, true), {{3}, {4}})
  lu.assertEquals(a:max(), 6)
  check(a:argmax(1), {1, 2}, "i64")
  check(np.cumsum(np.array {1, 2, 3}), {1, 3, 6})
  check(np.cumsum(a, 1), {{1, 6, 9}, {4, 6, 12}})
  fails("axis 2 of an array of rank 2", a.sum, a, 2)
  fails("max of no elements", np.max, np.zeros {0})
end

function math_tests.test_matmul()
  local a, b = np.array({{1, 2}, {3, 4}}, "f16"), np.array({{5, 6}, {7, 8}}, "f16")
  check(np.matmul(a, b), {{19, 22}, {43, 50}}, "f16") -- 1*5 + 2*7, 1*6 + 2*8, …
  check(a:matmul(b, "f32"), {{19, 22}, {43, 50}}, "f32")
  check(np.matmul(a, np.array({1, 10}, "f16")), {21, 43})
  fails("a is (2, 2) f16, b is (3, 1) f64: inner extents 2 and 3 differ", np.matmul, a, np.zeros {3, 1})
end

function math_tests.test_matmul_is_near_the_product_in_f64()
  local rng = np.random(7)
  local a, b = rng:randn({37, 129}, "f16"), rng:randn({129, 21}, "f16")
  local exact = np.matmul(a:astype "f64", b:astype "f64")
  -- the bound for f32 accumulation, and half a unit in the last place of f16 (2^-11)
  local magnitude = np.matmul(a:astype("f64"):abs(), b:astype("f64"):abs())
  local bound = magnitude * (129 * 2.0 ^ -24) + exact:abs() * 2.0 ^ -11 + 2.0 ^ -24
  lu.assertTrue(np.le((np.matmul(a, b):astype "f64" - exact):abs(), bound):all())
end

local whole = {}

function whole.test_allclose_says_where_not()
  local a = np.array {1, 2, 3}
  lu.assertIs(np.allclose(a, a), true)
  local close, at = np.allclose(a, np.array {1, 2, 3.5}, {rtol = 0.1})
  lu.assertEquals({close, at}, {false, 2}) -- 0.5 > 0.1 * 3.5
  lu.assertIs((np.allclose(a, np.array {1, 2, 3.5}, {rtol = 0, atol = 0.5})), true)
  local nan = np.array {0 / 0}
  lu.assertIs((np.allclose(nan, nan)), false)
  lu.assertIs(np.allclose(nan, nan, {equal_nan = true}), true)
  fails("do not broadcast", np.allclose, a, np.zeros {2})
end

function whole.test_differences_and_equality()
  local a = np.array {1, 2, 3}
  lu.assertEquals(np.max_abs_diff(a, np.array {1, 4, 2.5}), 2)
  lu.assertIs(np.array_equal(a, np.arange(1, 4)), true)
  lu.assertIs(np.array_equal(a, np.array {{1, 2, 3}}), false)
end

function whole.test_shapes_change()
  local a = np.arange(6)
  check(a:reshape {2, 3}, {{0, 1, 2}, {3, 4, 5}})
  check(a:reshape {3, -1}, {{0, 1}, {2, 3}, {4, 5}})
  check(a:reshape({2, 3}):transpose(), {{0, 3}, {1, 4}, {2, 5}})
  lu.assertEquals(np.zeros({2, 3, 4}):transpose({1, 2, 0}).shape, {3, 4, 2})
  check(a:reshape({2, 3}):flatten(), {0, 1, 2, 3, 4, 5})
  check(np.broadcast_to(np.array {1, 2}, {2, 2}), {{1, 2}, {1, 2}})
  check(np.concatenate({np.array {1}, np.array {2, 3}}), {1, 2, 3})
  check(np.concatenate({np.array {{1}}, np.array {{2, 3}}}, 1), {{1, 2, 3}})
  check(np.stack({np.array {1, 2}, np.array {3, 4}}, 1), {{1, 3}, {2, 4}})
  fails("cannot reshape (6,)", a.reshape, a, {4})
  fails("-1 cannot be a whole number", a.reshape, a, {4, -1})
end

function whole.test_astype_follows_the_conversion_rules()
  local a = np.array {1.9, -1.9, 300, 0 / 0}
  check(a:astype "u8", {1, 0, 255, 0}, "u8")
  check(a:astype "i32", {1, -1, 300, 0})
  check(np.array({300}):astype "u8", {44})
  lu.assertEquals(np.array({65504}, "f16"):astype("f32")[0], 65504)
end

function whole.test_scalars()
  lu.assertEquals(np.array({{5}}):item(), 5)
  fails("2 elements, not one", np.item, np.zeros {2})
  lu.assertEquals(np.array(2.5):tolist(), 2.5)
end

local random = {}

function random.test_a_seed_gives_the_same_numbers_again()
  local a, b = np.random(3):randn {100}, np.random(3):randn {100}
  lu.assertTrue(np.array_equal(a, b))
  lu.assertFalse(np.array_equal(a, np.random(4):randn {100}))
  -- SplitMix64 from state 0 begins with 0xE220A8397B1DCDAF (Vigna's reference code); its top 53 bits:
  lu.assertEquals(np.random(0):rand({1})[0], (0xE220A8397B1DCDAF >> 11) * 2.0 ^ -53)
end

function random.test_moments_are_those_of_the_distributions()
  local n = 40000 -- standard errors: 1 / sqrt(n) = 0.005 times the deviation; 6 of them allowed
  local x, u = np.random(1):randn {n}, np.random(1):rand {n}
  lu.assertAlmostEquals(x:mean(), 0, 0.03)
  lu.assertAlmostEquals((x * x):mean(), 1, 0.05) -- deviation of x^2: sqrt(2)
  lu.assertAlmostEquals(u:mean(), 0.5, 0.01)
end

function random.test_values_stay_in_their_range_for_every_type()
  for _, dtype in ipairs {"f16", "bf16", "f32", "f64"} do
    local u = np.random(2):rand({5000}, dtype)
    lu.assertTrue(u:lt(1):all() and u:ge(0):all())
  end
  local i = np.random(2):randint(-3, 4, {5000}, "i8")
  lu.assertEquals({i:min(), i:max(), i.dtype}, {-3, 3, "i8"})
  fails("range is empty", function() np.random(1):randint(3, 3, {1}) end)
  fails("256 has no exact value in u8", function() np.random(1):randint(0, 257, {1}, "u8") end)
end

local text = {}

function text.test_arrays_print_like_numpys()
  lu.assertEquals(tostring(np.array {{1, 2}, {3, 40}}), "array([[ 1,  2],\n       [ 3, 40]], dtype=i64)")
  lu.assertEquals(tostring(np.array({1, 2.5}, "f16")), "array([1. , 2.5], dtype=f16)")
  lu.assertEquals(tostring(np.array(1.5)), "array(1.5, dtype=f64)")
  lu.assertEquals(tostring(np.zeros {0, 3}), "array([], shape=(0, 3), dtype=f64)")
  lu.assertEquals(tostring(np.array {1, 0 / 0, -math.huge}), "array([  1.,  nan, -inf], dtype=f64)")
  lu.assertEquals(tostring(np.array({true, false})), "array([ true, false], dtype=bool)")
  lu.assertEquals(tostring(np.array({-1}):astype "u64"), "array([18446744073709551615], dtype=u64)")
  lu.assertEquals(tostring(np.array {0.1, 1e20}), "array([  0.1, 1e+20], dtype=f64)")
  lu.assertEquals(tostring(np.arange(8):reshape {2, 2, 2}),
    "array([[[0, 1],\n        [2, 3]],\n\n       [[4, 5],\n        [6, 7]]], dtype=i64)")
end

function text.test_large_arrays_are_summarised()
  lu.assertEquals(tostring(np.arange(2000)),
    "array([   0,    1,    2, ..., 1997, 1998, 1999], shape=(2000), dtype=i64)")
  local rows = {}
  for line in tostring(np.zeros {100, 100}):gmatch "[^\n]+" do rows[#rows + 1] = line end
  lu.assertEquals(#rows, 7)
  lu.assertEquals(rows[4], "       ...,")
end

local files = {}

function files.test_save_and_load_keep_everything()
  local path = os.tmpname()
  local a = np.random(1):randn({3, 5}, "f16")
  np.save(path, a)
  local b = np.load(path)
  os.remove(path)
  lu.assertEquals(b.dtype, "f16")
  lu.assertTrue(np.array_equal(a, b))
end

function files.test_bad_files_say_what_is_wrong()
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "wb"))
  file:write "not numpy at all"
  file:flush()
  fails("byte 0: not an .npy file", np.load, path)
  fails("bf16 has no code", np.save, path, np.zeros({1}, "bf16"))
  os.remove(path)
  fails("No such file", np.load, path)
end

-- Debian's python3-numpy, where it is: it reads what we write, and we read what it writes.
local PYTHON = "/usr/bin/python3"

local function run_numpy(program, ...)
  local path = os.tmpname()
  local file <close> = assert(io.open(path, "w"))
  file:write("import sys\nimport numpy as np\n", program)
  file:flush()
  local ok = os.execute(table.concat({ PYTHON, path, ... }, " ") .. " 2>&1")
  os.remove(path)
  return ok
end

local NUMPY_NAMES = { f16 = "float16", f32 = "float32", f64 = "float64", i8 = "int8", i16 = "int16", i32 = "int32",
  i64 = "int64", u8 = "uint8", u16 = "uint16", u32 = "uint32", u64 = "uint64", bool = "bool" }

function files.test_numpy_reads_what_we_write_and_writes_what_we_read()
  if not os.execute(PYTHON .. " -c 'import numpy' 2>/dev/null") then lu.skip "python3-numpy is not installed" end
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local names = {}
  for ours, theirs in pairs(NUMPY_NAMES) do
    local shape = { 3, 2, 5 }
    np.save(("%s/%s.npy"):format(folder, theirs), np.arange(30, { dtype = "i64" }):reshape(shape):astype(ours))
    names[#names + 1] = theirs
  end
  np.save(folder .. "/scalar.npy", np.array(2.5))
  np.save(folder .. "/none.npy", np.zeros { 0, 3 })
  table.sort(names)
  lu.assertTrue(run_numpy([[
folder = sys.argv[1] + "/"
for name in sys.argv[2:]:
    a = np.load(folder + name + ".npy")
    expected = np.arange(30).reshape(3, 2, 5).astype(name)
    assert a.dtype == expected.dtype and a.shape == (3, 2, 5) and (a == expected).all(), name
    np.save(folder + name + "_c.npy", a[::-1].copy())
    np.save(folder + name + "_f.npy", np.asfortranarray(a[:, :, ::2]))
assert np.load(folder + "scalar.npy") == 2.5 and np.load(folder + "scalar.npy").shape == ()
assert np.load(folder + "none.npy").shape == (0, 3)
]], folder, table.unpack(names)))
  for ours, theirs in pairs(NUMPY_NAMES) do
    local a = np.arange(30, { dtype = "i64" }):reshape { 3, 2, 5 }:astype(ours)
    local reversed = np.stack { a[2], a[1], a[0] }
    lu.assertTrue(np.array_equal(np.load(("%s/%s_c.npy"):format(folder, theirs)), reversed), theirs)
    local every_other = a[{ {}, {}, { 0, 5, 2 } }]
    local back = np.load(("%s/%s_f.npy"):format(folder, theirs))
    lu.assertEquals(back.dtype, ours)
    lu.assertTrue(np.array_equal(back, every_other), theirs)
  end
  os.execute("rm -r " .. folder)
end

local life = {}

function life.test_arrays_are_collected()
  local seen = setmetatable({}, {__mode = "v"})
  for i = 1, 50 do seen[i] = np.zeros {1000} end
  collectgarbage()
  lu.assertIs(next(seen), nil)
end

function life.test_many_large_arrays_do_not_pile_up()
  -- 200 arrays of 8 MB would be 1.6 GB if the collector only saw their small userdata
  local alive = setmetatable({}, {__mode = "v"})
  local most = 0
  for i = 1, 200 do
    alive[i] = np.zeros {1 << 20}
    local count = 0
    for _ in pairs(alive) do count = count + 1 end
    most = math.max(most, count)
  end
  lu.assertTrue(most <= 40, most) -- 256 MB between collections: 32 arrays, and a few in flight
end

-- LuaUnit runs what is in this table, in the order of the names.
local suites = {
  TestCreate = create, TestIndex = index, TestMath = math_tests, TestWhole = whole,
  TestRandom = random, TestText = text, TestFiles = files, TestLife = life,
}
local names = {}
for name in pairs(suites) do names[#names + 1] = name end
table.sort(names)
local instances = {}
for i, name in ipairs(names) do instances[i] = {name, suites[name]} end

local runner = lu.LuaUnit.new()
local result = runner:runSuiteByInstances(instances)
collectgarbage()
os.exit(result == 0, true)
