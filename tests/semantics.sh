#!/usr/bin/env bash
# Checks that every test that SEMANTICS.md names exists.
#
# A promise is a paragraph that begins in bold. Its tests stand in a table with the header `| Promise | Tests |`, each in
# backticks in the last column. The check fails if a section has promises and names no tests, if a row names none, if a
# test doesn't exist, or if the prose names one: five words or more, joined by underscores.
set -euo pipefail
cd "$(dirname "$0")/.."

# Prints `test NAME` for each name in the tables, and `problem TEXT` for each mistake.
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
folders=(functions shared cli python tests)
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
echo "$(wc -l <<< "$names") named tests exist"
