#!/usr/bin/env bash
# Checks the routes file $ROUTES, and comments on pull request $PULL_REQUEST how the roles change since commit $BASE.
# `action.yml` sets the variables.
set -euo pipefail

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# GitHub takes comments of up to 65,536 characters.
most=60000
marker="<!-- landfall-check: $(printf %s "$ROUTES" | base64 -w 0) -->"

deny=()
if [ "$DENY_WARNINGS" = true ]; then deny=(--deny-warnings); fi
sarif=$RUNNER_TEMP/landfall.sarif
status=0
landfall check "${deny[@]}" --format sarif -- "$ROUTES" > "$sarif" 2> "$work/said" || status=$?
landfall check --format short -- "$ROUTES" || true
echo "sarif=$sarif" >> "$GITHUB_OUTPUT"

# Prints the roles that follow from the routes file $1. A file with errors has none.
roles() {
    landfall policies --data-account "$DATA_ACCOUNT" --routes "$1" 2> "$work/problem" || cat "$work/problem"
}

comment() {
    local changed body=$work/body id
    git fetch --quiet --depth 1 origin "$BASE"
    if git show "$BASE:$ROUTES" > "$work/base.yaml" 2> /dev/null; then
        roles "$work/base.yaml" > "$work/before"
    else
        : > "$work/before"
    fi
    roles "$ROUTES" > "$work/after"
    changed=$(diff --unified=3 --label before --label after "$work/before" "$work/after" || true)
    {
        printf '%s\n' "$marker"
        if [ -z "$changed" ]; then
            printf 'Landfall: no role or policy changes.\n'
        else
            printf 'Landfall: these roles and policies change.\n\n~~~~~~~~diff\n%s\n~~~~~~~~\n' "${changed:0:most}"
            if [ "${#changed}" -gt "$most" ]; then printf '\nThe rest is too long for a comment.\n'; fi
        fi
    } > "$body"
    id=$(MARKER=$marker gh api --paginate "repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments" \
        --jq '.[] | select(.user.type == "Bot" and (.body | startswith(env.MARKER))) | .id' | head -n 1)
    if [ -n "$id" ]; then
        gh api --method PATCH "repos/$GITHUB_REPOSITORY/issues/comments/$id" -F "body=@$body" --silent
    else
        gh api --method POST "repos/$GITHUB_REPOSITORY/issues/$PULL_REQUEST/comments" -F "body=@$body" --silent
    fi
}

if [ -n "$PULL_REQUEST" ] && [ -n "$DATA_ACCOUNT" ]; then
    # A pull request from a fork has a token that may not comment. The check counts all the same.
    (comment) || echo "::warning::the comment about roles and policies wasn't written: does the token have pull-requests: write?"
fi
exit "$status"
