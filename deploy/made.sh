# Sourced by `test`: programs in a folder of the build's own, made anew when what they are made of has changed.

# fresh FOLDER SOURCE…: whether what is there was made of these files. The stamp is written last.
fresh() {
    [ -e "$1/made-of" ] && cat "${@:2}" | cmp -s - "$1/made-of"
}

made_of() { # made_of FOLDER SOURCE…
    cat "${@:2}" >"$1/made-of"
}

make_python() { # make_python FOLDER REQUIREMENTS, which name every package
    say "Making the Python of $2"
    rm -rf -- "$1"
    python3 -m venv "$1"
    "$1/bin/pip" install --quiet --disable-pip-version-check --no-deps --requirement "$2"
    "$1/bin/pip" check --quiet --disable-pip-version-check
    made_of "$1" "$2"
}

make_npm() { # make_npm FOLDER SOURCE WHAT, where SOURCE has package.json and its lock
    say "Fetching $3"
    rm -rf -- "$1"
    mkdir -p "$1"
    cp "$2/package.json" "$2/package-lock.json" "$1"
    npm ci --silent --ignore-scripts --no-audit --no-fund --prefix "$1"
    made_of "$1" "$2/package.json" "$2/package-lock.json"
}
