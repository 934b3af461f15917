# shellcheck shell=bash
# helm, built from its Go module; go.mod names its version.
chart_tests=$(dirname "$(realpath "${BASH_SOURCE[0]}")")
# shellcheck source=../node/common.sh
. "$chart_tests/../node/common.sh"
# shellcheck source=../node/tools.sh
here=$chart_tests/../node . "$chart_tests/../node/tools.sh"

helm_path() { go_tool_path helm "$chart_tests"; }

ensure_helm() { ensure_go_tool helm "$chart_tests" helm.sh/helm/v4/cmd/helm; }
