# A transcript that is right passes
$ cat >good.t <<'END'
> # says hello, here-documents included
> $ cat <<EOF
> > hello
> >
> > world
> > EOF
> hello
>
> world
>
> # standard error and the exit code count
> $ echo oops >&2; exit 3
> oops
> [3]
>
> # a regular expression matches a whole line, dots any number of lines
> $ printf '%s\n' a 'took 12.5 ns' c d last
> a
> took [0-9.]+ ns (re)
> ...
> last
>
> $ true
> END
$ lua5.4 $ROOT/tests/cli/run.lua good.t
4 passed, 0 failed

# Commands of a file share a directory that is fresh and their home
$ ls
good.t
$ cd / && pwd && [ "$HOME" != / ]
/
$ [ "$PWD" = "$HOME" ] && [ -f good.t ]

# The kernbench under test comes first in PATH
$ mkdir bin && printf '#!/bin/sh\necho mine $1\n' >bin/kernbench && chmod +x bin/kernbench
$ printf '$ kernbench list\nmine list\n' >mine.t && lua5.4 $ROOT/tests/cli/run.lua --bin bin mine.t
1 passed, 0 failed

# Wrong output, a missing line and a wrong exit code are failures, shown as a difference
$ cat >bad.t <<'END'
> # one differs
> $ printf '%s\n' a b c
> a
> [x] (re)
> c
> # one lacks a line
> $ echo a
> ...
> b
> # one fails
> $ exit 2
> # a regular expression does not match a part of a line
> $ echo abc
> b (re)
> END
$ lua5.4 $ROOT/tests/cli/run.lua bad.t
FAILED: bad.t:2: one differs
--- expected
[+]{3} actual (re)
@@ -1,3 +1,3 @@
 a
-[[]x[]] [(]re[)] (re)
+b
 c
FAILED: bad.t:7: one lacks a line
--- expected
[+]{3} actual (re)
...
-b
...
FAILED: bad.t:11: one fails
--- expected
[+]{3} actual (re)
@@ -0,0 +1 @@
[+][[]2] (re)
FAILED: bad.t:13: a regular expression does not match a part of a line
...
0 passed, 4 failed
[1]

# A file without a command, a file that is not there, and no command before output
$ echo '# nothing here' >empty.t; lua5.4 $ROOT/tests/cli/run.lua empty.t
FAILED: empty.t: no command in it
0 passed, 1 failed
[1]
$ lua5.4 $ROOT/tests/cli/run.lua nowhere.t
FAILED: nowhere.t: No such file or directory
0 passed, 1 failed
[1]
$ echo hello >early.t; lua5.4 $ROOT/tests/cli/run.lua early.t
FAILED: early.t: line 1: output before the first command
0 passed, 1 failed
[1]

# Output lines that look like the format are written as regular expressions
$ printf '%s\n' '$ x' '# y' '[2]'
[$] x (re)
[#] y (re)
[[]2[]] (re)
