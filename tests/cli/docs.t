# The generated part of docs/topology.md is what the program prints
$ sed -n '/^<!-- begin kernbench list --markdown -->$/,/^<!-- end -->$/p' $ROOT/docs/topology.md | sed '1d;$d' >old
$ kernbench list --markdown >new && [ -s new ] && diff -u old new

# Links in the documents lead to files
$ cd $ROOT && for file in README.md docs/*.md docs/adr/*.md; do
>   grep -oE '\]\([^)#:]+' $file | cut -c 3- | while read -r link; do
>     [ -e "$(dirname $file)/$link" ] || echo "$file: $link does not exist"
>   done
> done

# Turn README.md and docs/*.md into transcripts: their `console` blocks are the commands, their Lua
# blocks that begin with `-- NAME.lua` the files; a line that ends with ` ...` is the beginning of one
$ cat >extract.lua <<'END'
> local function escaped(text)
>   return (text:gsub("[%^%$%(%)%[%]%.%*%+%?|{}\\]", "\\%0"))
> end
>
> -- One line of a console block as the transcript needs it.
> local function line_of(line)
>   if line:find("^[$>] ") then
>     return (line:gsub("%./kb ", "kernbench "))
>   elseif line:find("^  wall time ") then
>     return "  wall time  .* (re)"
>   elseif line:find(". %.%.%.$") then
>     return escaped(line:sub(1, -5)) .. ".* (re)"
>   end
>   return line
> end
>
> local function transcript(path)
>   local out = { "$ ln -s $ROOT/benches $ROOT/topology.yaml .", "" }
>   local kind, name, blocks = nil, nil, 0
>   for line in io.lines(path) do
>     local fence = line:match("^```(.*)")
>     if fence then
>       if name then out[#out + 1] = "> END" end
>       if kind then out[#out + 1] = "" end
>       kind, name = not kind and fence or nil, nil
>       blocks = blocks + (kind == "console" and 1 or 0)
>     elseif kind == "console" then
>       out[#out + 1] = line_of(line)
>     elseif kind == "lua" then
>       if name == nil then
>         name = line:match("^%-%- ([%w_]+%.lua)") or false
>         if name then out[#out + 1] = "$ cat >" .. name .. " <<'END'" end
>       end
>       if name then out[#out + 1] = line == "" and ">" or "> " .. line end
>     end
>   end
>   return blocks > 0 and table.concat(out, "\n") .. "\n" or nil
> end
>
> for _, path in ipairs(arg) do
>   local text = transcript(path)
>   if text then
>     local file = assert(io.open(path:match("([^/]+)%.md$") .. ".t", "w"))
>     file:write(text)
>     file:close()
>   end
> end
> END
$ lua5.4 extract.lua $ROOT/README.md $ROOT/docs/*.md && ls *.t
README.t
cli.t
collective-guide.t
getting-started.t
kernel-guide.t
latency-model.t
lua-api.t
several-sips.t
topology.t
tutorial.t

# Commands of the documents print what the documents say
$ bin=$(dirname "$(command -v kernbench)")
> for file in *.t; do
>   lua5.4 $ROOT/tests/cli/run.lua --bin "$bin" $file || echo "in $file"
> done
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
[1-9][0-9]* passed, 0 failed (re)
