#!/bin/sh
# Makes the base images that Dockerfile and docker-compose.yml name, for machines
# that reach Debian's packages but no container registry. Run as root; needs
# debootstrap, docker and a Rust toolchain, which is copied into the rust image.
set -eu
# Here, so that rustup picks the toolchain of this project.
cd "$(dirname "$0")/.."

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
# The build contexts must be readable in the images by users other than root.
umask 022

echo "== debian:bookworm-slim"
debootstrap --variant=minbase bookworm "$work/root" >"$work/log" 2>&1 || {
    tail -n 20 "$work/log"
    exit 1
}
rm -rf "$work"/root/var/cache/apt/* "$work"/root/var/lib/apt/lists/* \
    "$work"/root/var/log/* "$work"/root/usr/share/doc/* \
    "$work"/root/usr/share/man/* "$work"/root/usr/share/locale/*
tar -C "$work/root" -c . | docker import --change 'CMD ["bash"]' - debian:bookworm-slim

echo "== redis:7-bookworm"
mkdir "$work/redis"
# Like the official image's: options or a .conf file alone mean redis-server,
# and root hands over to the redis user.
cat >"$work/redis/docker-entrypoint.sh" <<'EOF'
#!/bin/sh
set -e
if [ "${1#-}" != "$1" ] || [ "${1%.conf}" != "$1" ]; then
    set -- redis-server "$@"
fi
if [ "$1" = redis-server ] && [ "$(id -u)" = 0 ]; then
    find . ! -user redis -exec chown redis '{}' +
    exec setpriv --reuid=redis --regid=redis --init-groups "$0" "$@"
fi
exec "$@"
EOF
chmod 755 "$work/redis/docker-entrypoint.sh"
cat >"$work/redis/Dockerfile" <<'EOF'
FROM debian:bookworm-slim
RUN groupadd --system --gid 999 redis \
    && useradd --system --uid 999 --gid redis --home-dir /data redis \
    && apt-get update \
    && apt-get install -y --no-install-recommends redis-server \
    && apt-get clean && rm -rf /var/lib/apt/lists/* \
    && mkdir /data && chown redis:redis /data
COPY docker-entrypoint.sh /usr/local/bin/
VOLUME /data
WORKDIR /data
EXPOSE 6379
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["redis-server"]
EOF
docker build -t redis:7-bookworm "$work/redis"

echo "== rust:1-bookworm"
mkdir -p "$work/rust/toolchain" "$work/rust/cargo"
sysroot=$(rustc --print sysroot)
cp -a "$sysroot/bin" "$sysroot/lib" "$work/rust/toolchain/"
# The host's certificates and cargo settings, so that cargo reaches the crates
# from inside a build whenever it does so outside.
cp -L /etc/ssl/certs/ca-certificates.crt "$work/rust/"
settings=${CARGO_HOME:-$HOME/.cargo}/config.toml
if [ -f "$settings" ]; then
    cp "$settings" "$work/rust/cargo/"
fi
cat >"$work/rust/Dockerfile" <<'EOF'
FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates gcc libc6-dev make \
    && apt-get clean && rm -rf /var/lib/apt/lists/*
COPY ca-certificates.crt /etc/ssl/certs/
COPY cargo /usr/local/cargo
COPY toolchain /usr/local/rustup/toolchains/host
ENV CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup \
    PATH=/usr/local/cargo/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
RUN ln -s /usr/local/rustup/toolchains/host/bin /usr/local/cargo/bin \
    && cargo --version
EOF
docker build -t rust:1-bookworm "$work/rust"

docker image ls
