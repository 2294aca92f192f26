# The program alone, in a small image. Build: docker build -t firn .
FROM rust:1.95-trixie AS build
WORKDIR /firn
COPY . .
RUN cargo build --release --package firn --bin firn

FROM debian:trixie-slim
RUN useradd --system --home-dir /var/lib/firn --create-home firn
COPY --from=build /firn/target/release/firn /usr/local/bin/firn
USER firn
VOLUME /var/lib/firn
EXPOSE 8080
STOPSIGNAL SIGTERM
# FIRN_TOKEN, FIRN_KEY and the secrets that settings name as env:NAME come from the environment.
ENTRYPOINT ["firn"]
CMD ["serve", "--data", "/var/lib/firn", "--listen", "0.0.0.0:8080"]
