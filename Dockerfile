# The gate in a container: numbered account, nothing of it written at run time but the volumes. `docker build -t poolgate .`
# `docker build --target alone -t poolgate:alone .` has the static program and nothing else: no shell, no library, no accounts.
# deploy/compose.yaml runs either; docs/packaging.md says more.

FROM rust:1.95-slim-bookworm AS build
# Versions are those of the Debian release that FROM names; pinned ones would be gone from its mirrors after the next fix.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends cmake gcc g++ make python3 && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY Cargo.toml Cargo.lock askama.toml ./
COPY src src
COPY config config
# Cargo.toml names them; what they hold is not built.
COPY benches benches
COPY tests/tidy.rs tests/tidy.rs
COPY tests/it/main.rs tests/it/main.rs
COPY deploy/sbom deploy/sbom
RUN cargo build --locked --release --bin poolgate && deploy/sbom /poolgate.cdx.json

FROM build AS build-alone
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends musl-tools ca-certificates tzdata && rm -rf /var/lib/apt/lists/*
# What a root needs that has no program to make it: folders, an account to be told by name, authorities, zones.
RUN mkdir -p /alone/etc/ssl/certs /alone/usr/share /alone/usr/bin \
    && install -d -o 64022 -g 64022 -m 0700 /alone/var/lib/poolgate \
    && install -d -o 64022 -g 64022 -m 0750 /alone/var/log/poolgate /alone/run/poolgate \
    && install -d -m 1777 /alone/tmp \
    && echo 'poolgate:x:64022:64022::/var/lib/poolgate:/nonexistent' >/alone/etc/passwd \
    && echo 'poolgate:x:64022:' >/alone/etc/group \
    && cp /etc/ssl/certs/ca-certificates.crt /alone/etc/ssl/certs/ \
    && cp -r /usr/share/zoneinfo /alone/usr/share/
RUN rustup target add "$(uname -m)-unknown-linux-musl" \
    && cargo build --locked --release --bin poolgate --target "$(uname -m)-unknown-linux-musl" \
    && deploy/sbom --target "$(uname -m)-unknown-linux-musl" /alone/usr/share/doc/poolgate/poolgate.cdx.json \
    && strip -o /alone/usr/bin/poolgate "target/$(uname -m)-unknown-linux-musl/release/poolgate"

FROM scratch AS alone
COPY --from=build-alone /alone/ /
USER 64022:64022
EXPOSE 22 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/bin/poolgate", "healthcheck"]
ENTRYPOINT ["/usr/bin/poolgate"]
CMD ["serve", "--config", "/etc/poolgate/poolgate.toml"]

FROM debian:bookworm-slim
# hadolint ignore=DL3008
RUN apt-get update && apt-get install -y --no-install-recommends ca-certificates openssh-client \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --system --gid 64022 poolgate \
    && useradd --system --uid 64022 --gid 64022 --no-create-home --home-dir /var/lib/poolgate --shell /usr/sbin/nologin poolgate \
    && install -d -o 64022 -g 64022 -m 0700 /var/lib/poolgate \
    && install -d -o 64022 -g 64022 -m 0750 /var/log/poolgate /run/poolgate
COPY --from=build /source/target/release/poolgate /usr/bin/poolgate
COPY --from=build /poolgate.cdx.json /usr/share/doc/poolgate/
# A number, so that an orchestrator sees that it is not root.
USER 64022:64022
EXPOSE 22 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["/usr/bin/poolgate", "healthcheck"]
ENTRYPOINT ["/usr/bin/poolgate"]
CMD ["serve", "--config", "/etc/poolgate/poolgate.toml"]
