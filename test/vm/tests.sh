# shellcheck shell=bash
# Which tests run in the machine, and what came of them.

build_images() {
    say "images: building"
    (cd "$repo" && cargo run --quiet --locked --package test-images --bin build-images -- \
        target/images --root "$(root_path)") >/dev/null
}

# Leaves the tests' program in $tests. Optimized: it counts what is in the machine again and again.
build_tests() {
    say "tests: building"
    tests=$(cd "$repo" && cargo test --config profile.dev.opt-level=2 --quiet --locked --package e2e --test node --no-run \
        --message-format=json |
        sed -n 's/.*"executable":"\([^"]*\)".*/\1/p' | tail -n 1)
    [ -x "$tests" ] || die "cargo names no program of the end-to-end tests"
}

# lines FILE: without comments.
lines() { grep -vE '^[[:space:]]*(#|$)' "$1" || true; }

# Writes the tests' arguments for each driver, and counts: $expected will run, $left_out are skipped for $reasons.
select_tests() {
    local driver given=("$@") names skips
    [ ${#given[@]} -gt 0 ] || read -r -a given <<<"${VM_TESTS:-}"
    expected=0 left_out=0
    for driver in $VM_DRIVERS; do
        names=("${given[@]}")
        [ ${#names[@]} -gt 0 ] || mapfile -t names < <(lines "$vm/selected" |
            awk -v driver="$driver" 'NF == 1 || $2 == driver { print $1 }')
        mapfile -t skips < <(lines "$vm/skipped" |
            awk -v driver="$driver" '$1 == driver || $1 == "any" { print "--skip"; print $2 }')
        printf '%s\n' "${names[@]}" "${skips[@]}" >"$work/arguments.$driver"
        expected=$((expected + $(count_tests "${names[@]}" "${skips[@]}")))
        left_out=$((left_out + $(count_tests "${names[@]}")))
    done
    left_out=$((left_out - expected))
    [ "$expected" -gt 0 ] || die "no test has any of these in its name: ${given[*]}"
}

count_tests() { "$tests" --list --format=terse "$@" | grep -c ': test$' || true; }

# report IN_TIME SECONDS: the closing line; fails unless everything ran and passed.
report() {
    local passed failed missing reasons='' trouble=''
    passed=$(count_results ok)
    failed=$(count_results FAILED)
    missing=$((expected - passed - failed))
    [ "$left_out" = 0 ] || reasons=" ($(lines "$vm/skipped" | cut -d' ' -f3- | sort -u | paste -sd';'))"
    [ "$1" = 1 ] || trouble=", timed out after $VM_TIMEOUT minutes"
    grep -q '^Kernel panic\|] Kernel panic' "$work/console.log" && trouble+=", the machine's kernel panicked"
    [ "$missing" -le 0 ] || trouble+=", $missing did not run"
    [ -z "$trouble" ] && [ "$failed" = 0 ] || trouble+="; logs: $work"
    printf 'make vm: %s passed, %s failed, %s skipped%s in %s s%s\n' \
        "$passed" "$failed" "$left_out" "$reasons" "$2" "$trouble"
    [ -z "$trouble" ]
}

# A message of the program under test may stand between a test's name and its result.
count_results() { grep -cE "(^test .* \.\.\. |^)$1\r?\$" "$work/results.log" || true; }
