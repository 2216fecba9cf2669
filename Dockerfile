# Not the slim one: the allocator is built by make.
FROM rust:1-bookworm AS builder
WORKDIR /build

# The dependencies alone, built with an empty program: this layer stays cached
# until the manifest or the lock file changes. No BuildKit cache mounts, so the
# classic builder can build this file too.
COPY Cargo.toml Cargo.lock ./
RUN mkdir src benches \
    && echo 'fn main() {}' | tee src/main.rs benches/pure.rs \
    && cargo build --release --locked \
    && cargo clean --release --locked --package ranq \
    && rm -r src

COPY openapi openapi
COPY src src
RUN cargo build --release --locked


FROM debian:bookworm-slim

# A fixed uid, so that orchestrators and volume owners can rely on it.
RUN groupadd --gid 10001 ranq \
    && useradd --uid 10001 --gid ranq --no-create-home --home-dir /nonexistent \
        --shell /usr/sbin/nologin ranq

# `ranq worker` may speak to a service behind TLS.
COPY --from=builder /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=builder /build/target/release/ranq /usr/local/bin/ranq

# Loopback, the program's default, cannot be reached from outside a container.
ENV RANQ_LISTEN=0.0.0.0:8080
EXPOSE 8080

# By number: "must not run as root" policies cannot judge a name.
USER 10001:10001

HEALTHCHECK --interval=5s --timeout=3s --start-period=15s --retries=3 \
    CMD ["ranq", "healthcheck"]

ENTRYPOINT ["ranq"]
CMD ["serve"]
