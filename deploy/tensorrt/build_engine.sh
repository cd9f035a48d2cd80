#!/usr/bin/env bash
# Makes the TensorRT plans of a model repository that `groundglass models build --target tensorrt` wrote.
#
#   build_engine.sh [--dry-run] [--force] REPOSITORY [MODEL...]
#
# Run it on the GPU that will serve: a plan fits one GPU model and one version of TensorRT. It needs TensorRT 10
# (trtexec), and for int8 also Polygraphy. `groundglass models accept` then judges what the plans answer.
#   --dry-run  print the commands, run nothing
#   --force    make plans again that are already there
set -euo pipefail

readonly arguments=trtexec.args checksums=SHA256SUMS plan=model.plan cache=calibration.cache
here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
readonly here

fail() {
    printf 'build_engine.sh: %s\n' "$*" >&2
    exit 1
}

usage() {
    printf 'usage: build_engine.sh [--dry-run] [--force] REPOSITORY [MODEL...]\n' >&2
    exit 2
}

# Prints a command so that it could be pasted; runs it unless this is a dry run.
run() {
    printf '%s' "$1"
    printf ' %q' "${@:2}"
    printf '\n'
    [ "$dry_run" = yes ] || "$@"
}

need() {
    [ "$dry_run" = yes ] || command -v "$1" >/dev/null || fail "$1 is not installed; run this in $2"
}

# TensorRT 11 dropped the options for reduced precision: better to say so than to make another plan than asked.
known_options() {
    [ "$dry_run" = yes ] && return
    local argument help
    help=$(trtexec --help 2>&1) || fail "trtexec --help failed; does this machine have its GPU driver?"
    for argument in "$@"; do
        grep -qF -- "${argument%%=*}" <<<"$help" ||
            fail "this trtexec has no ${argument%%=*}; use TensorRT 10"
    done
}

# trtexec writes input:16x3x224x224, Polygraphy reads input:[16,3,224,224].
shape_of() {
    local which=$1 argument
    shift
    for argument in "$@"; do
        if [[ $argument == "--${which}Shapes="* ]]; then
            argument=${argument#*=}
            printf '%s:[%s]' "${argument%:*}" "$(tr x , <<<"${argument##*:}")"
            return
        fi
    done
    fail "no --${which}Shapes in $arguments"
}

# Measures the ranges of values on calibration.npy, once; the plan that it makes on the way is thrown away.
calibrate() {
    [ -f "$cache" ] && return
    [ -f calibration.npy ] || fail "$PWD has no calibration.npy; build the repository again at int8"
    need polygraphy "an environment with Polygraphy, for example nvcr.io/nvidia/tensorrt"
    run polygraphy convert model.onnx --convert-to trt --int8 --fp16 --calibration-cache "$cache.part" \
        --data-loader-script "$here/calibration_data.py" \
        --trt-min-shapes "$(shape_of min "$@")" \
        --trt-opt-shapes "$(shape_of opt "$@")" \
        --trt-max-shapes "$(shape_of max "$@")" \
        --output calibrated.part
    run mv -- "$cache.part" "$cache"
    run rm -f -- calibrated.part
}

build() {
    local folder=$1 words
    cd -- "$folder"
    if [ -f "$plan" ] && [ "$force" = no ]; then
        printf '%s/%s is already there\n' "$folder" "$plan"
        return
    fi
    sha256sum --check --status -- "$checksums" ||
        fail "$folder/model.onnx is not the file that was built; build the repository again"
    mapfile -t words <"$arguments"
    [ "${#words[@]}" -gt 0 ] || fail "$folder/$arguments is empty; build the repository again"
    printf '# %s\n' "$folder"
    known_options "${words[@]}"
    if [[ " ${words[*]} " == *" --calib="* ]]; then
        calibrate "${words[@]}"
    fi
    run trtexec "${words[@]}"
    run mv -- "$plan.part" "$plan"
}

dry_run=no
force=no
while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry_run=yes ;;
        --force) force=yes ;;
        -*) usage ;;
        *) break ;;
    esac
    shift
done
[ $# -ge 1 ] || usage
repository=$(cd -- "$1" 2>/dev/null && pwd) || fail "$1 is no folder"
shift
need trtexec "nvcr.io/nvidia/tensorrt with TensorRT 10"

models=("$@")
if [ ${#models[@]} -eq 0 ]; then
    for folder in "$repository"/*/; do
        [ -d "$folder" ] && models+=("$(basename -- "$folder")")
    done
fi

made=0
for model in "${models[@]}"; do
    for file in "$repository/$model"/*/"$arguments"; do
        [ -f "$file" ] || fail "$repository/$model has no version for TensorRT; build it with --target tensorrt"
        (build "$(dirname -- "$file")")
        made=$((made + 1))
    done
done
[ "$made" -gt 0 ] || fail "no model in $repository"
