std = "lua54"
max_line_length = 120
unused_args = false
files["lua/kernbench/meta.lua"] = { ignore = { "241" } } -- declarations for editors
