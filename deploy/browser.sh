# Sourced by `test`: what drives the browser in which pages are tried (tests/it/pages.rs), with the version that tests/browser
# names, in a folder of the build's own. Chromium is the system's. Needs made.sh.

# need_browser says what is missing of the system, by `need`.
need_browser() {
    [ -x "${CHROMIUM:-/usr/bin/chromium}" ] || need "Chromium (where it is: CHROMIUM)" chromium
    has_websocket || need "Node 20.10 or newer" nodejs
    command -v npm >/dev/null || need "npm" npm
}

has_websocket() {
    node --experimental-websocket -e WebSocket 2>/dev/null
}

# make_browser FOLDER
make_browser() {
    fresh "$1" tests/browser/package.json tests/browser/package-lock.json ||
        make_npm "$1" tests/browser "playwright-core"
}
