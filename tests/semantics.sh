#!/usr/bin/env bash
# SEMANTICS.md states promises in prose (paragraphs that begin in bold), and names their tests in tables headed
# "| Promise | Tests |": does every section with promises name tests, and does each of these tests exist?
#
# In the column of tests, what stands in backticks is a name. Prose names no test: nothing there has five words or more
# joined by underscores.
set -euo pipefail
cd "$(dirname "$0")/.."

# Prints `test NAME` for each name in the tables, and `problem TEXT` for what is wrong.
read_page() {
    awk '
        function close_section() { if (promises && !tests) print "problem " section ": promises without a table of tests" }
        /^## /                     { close_section(); section = $0; promises = tests = 0 }
        /^\| Promise \| Tests \|$/ { in_table = 1; next }
        !/^\|/                     { in_table = 0 }
        in_table && /^\|-/         { next }
        in_table {
            count = split($0, cell, "|")
            names = split(cell[count - 1], name, "`")
            if (names < 3) print "problem line " NR ": a promise without tests"
            for (i = 2; i <= names; i += 2) { print "test " name[i]; tests++ }
            next
        }
        /^\*\*/ { promises++ }
        match($0, /[a-z0-9]+_[a-z0-9]+_[a-z0-9]+_[a-z0-9]+_[a-z0-9_]+/) {
            print "problem line " NR ": prose names the test " substr($0, RSTART, RLENGTH)
        }
        END { close_section() }
    ' SEMANTICS.md
}

page=$(read_page)
names=$(sed -n 's/^test //p' <<< "$page" | sort -u)
folders=(functions shared cli tests)
if [ -d python ]; then folders+=(python); fi
tests=$(grep -rhoE --include='*.rs' --include='*.py' '(fn|def) [a-z0-9_]+' "${folders[@]}" |
    cut -d ' ' -f 2 | sort -u)
problems=$(
    sed -n 's/^problem //p' <<< "$page"
    if [ -z "$names" ]; then echo "no table names a test"; fi
    comm -23 <(echo "$names") <(echo "$tests") | sed '/^$/d; s/$/: no such test/'
)
if [ -n "$problems" ]; then
    printf 'SEMANTICS.md:\n%s\n' "$problems" >&2
    exit 1
fi
echo "$(wc -l <<< "$names") tests are named, and exist"
