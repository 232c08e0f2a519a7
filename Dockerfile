# The gate in a container: numbered account, nothing of it written at run time but the volumes. `docker build -t poolgate .`
# deploy/compose.yaml runs it; docs/packaging.md says more.

FROM rust:1.95-slim-bookworm AS build
# Versions are those of the Debian release that FROM names; pinned ones would be gone from its mirrors after the next fix.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake gcc g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY Cargo.toml Cargo.lock askama.toml ./
COPY src src
COPY config config
# Cargo.toml names them; what they hold is not built.
COPY benches benches
COPY tests/tidy.rs tests/tidy.rs
COPY tests/it/main.rs tests/it/main.rs
RUN cargo build --locked --release --bin poolgate

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 64022 poolgate \
    && useradd --system --uid 64022 --gid 64022 --no-create-home --home-dir /var/lib/poolgate --shell /usr/sbin/nologin poolgate \
    && install -d -o 64022 -g 64022 -m 0700 /var/lib/poolgate \
    && install -d -o 64022 -g 64022 -m 0750 /var/log/poolgate /run/poolgate
COPY --from=build /source/target/release/poolgate /usr/bin/poolgate
# A number, so that an orchestrator sees that it is not root.
USER 64022:64022
EXPOSE 22 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/bin/poolgate", "healthcheck"]
ENTRYPOINT ["/usr/bin/poolgate"]
CMD ["serve", "--config", "/etc/poolgate/poolgate.toml"]
