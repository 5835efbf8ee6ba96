# Sourced, with `prefix` set. later_debian SUITE makes the command `apt`, which gets packages of that
# suite into "$prefix/apt" apart from what the system has; a `source` and a suite are a line of
# sources.list. The mirror is the one of apt's own settings.

later_debian() {
    local folder=$prefix/apt mirror
    rm -rf "$folder"
    mkdir -p "$folder"/{lists,archives}/partial
    : > "$folder/status"
    mirror=$(awk '
        /^URIs:/ { print $2; exit }
        /^deb / { for (i = 2; i <= NF; i++) if ($i ~ /:\//) { print $i; exit } }
    ' $(ls /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2> /dev/null))
    if [[ -z $mirror ]]; then
        echo "apt's settings name no mirror of Debian" >&2
        exit 1
    fi
    source="deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror"
    echo "$source $1 main" > "$folder/sources.list"
    apt=(
        apt-get -qq
        -o Dir::Etc::sourcelist="$folder/sources.list" -o Dir::Etc::sourceparts=/dev/null
        -o Dir::State::lists="$folder/lists" -o Dir::State::status="$folder/status"
        -o Dir::Cache="$folder" -o Dir::Cache::archives="$folder/archives"
        -o APT::Sandbox::User=root
    )
    "${apt[@]}" update
}
