#!/usr/bin/env bash
# Every claim of SEMANTICS.md names its test in backticks: does each of these tests exist?
#
# A name is what looks like one: `lower_case_with_underscores`, of twelve characters or more.
set -euo pipefail
cd "$(dirname "$0")/.."

names=$(grep -oE '`[a-z0-9]+(_[a-z0-9]+)+`' SEMANTICS.md | tr -d '`' | awk 'length >= 12' | sort -u)
if [ -z "$names" ]; then
    echo "SEMANTICS.md names no test" >&2
    exit 1
fi
tests=$(grep -rhoE --include='*.rs' --include='*.py' '(fn|def) [a-z0-9_]+' functions shared cli tests |
    cut -d ' ' -f 2)
missing=$(comm -23 <(echo "$names") <(sort -u <<< "$tests"))
if [ -n "$missing" ]; then
    printf 'SEMANTICS.md names tests that do not exist:\n%s\n' "$missing" >&2
    exit 1
fi
echo "$(wc -l <<< "$names") tests are named, and exist"
