# Sourced by `test`: the programs that check calendar files (tests/it/ics.rs), with the versions that tests/ics names, in a
# folder of the build's own. Each is made anew when what it is made of has changed. Needs made.sh.

# need_calendars says what is missing of the system, by `need`.
need_calendars() {
    python3 -c 'import ensurepip, venv' 2>/dev/null || need "Python 3.10 or newer, with venv" python3-venv
    command -v node >/dev/null || need "Node 18 or newer" nodejs
    command -v npm >/dev/null || need "npm" npm
    has_libical || need "libical's headers" libical-dev
}

has_libical() {
    printf '#include <libical/ical.h>\nint main(void) { return !icalparser_new(); }\n' |
        libical_cc -x c - -o /dev/null 2>/dev/null
}

# libical_cc ARGUMENT… with libical; Homebrew's is not where compilers look.
libical_cc() {
    local -a flags=()
    if command -v pkg-config >/dev/null && pkg-config --exists libical; then
        read -ra flags < <(pkg-config --cflags --libs libical)
    fi
    cc "$@" "${flags[@]}" -lical
}

# make_calendars FOLDER
make_calendars() {
    local folder=$1
    mkdir -p "$folder"
    # Python's and libical's also have to start: the system's may have been upgraded under them.
    fresh "$folder/python" tests/ics/requirements.txt &&
        "$folder/python/bin/python" -c 'import icalendar, vobject' 2>/dev/null ||
        make_python "$folder/python" tests/ics/requirements.txt
    fresh "$folder/node" tests/ics/package.json tests/ics/package-lock.json ||
        make_npm "$folder/node" tests/ics "ical.js"
    fresh "$folder/libical" tests/ics/read_libical.c &&
        "$folder/libical/read_libical" "$folder/libical" >/dev/null 2>&1 || make_libical "$folder/libical"
}

make_libical() {
    rm -rf -- "$1"
    mkdir -p "$1"
    libical_cc -O1 -Wall -Wextra tests/ics/read_libical.c -o "$1/read_libical"
    made_of "$1" tests/ics/read_libical.c
}
