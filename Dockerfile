# liao in a container. Untested so far.
#
#   docker build -t liao .
#   docker run --name liao -v liao-data:/data -p 5222:5222 -p 5223:5223 -p 5281:5281 -e LIAO_DOMAIN=chat.example.org liao
#   docker exec liao liao admin --data /data invite
#
# The log of the container shows the invite for the first account. The domain is fixed by that account.

FROM rust:1.91-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked -p liao

FROM debian:bookworm-slim
RUN useradd --system --user-group --uid 5222 --home-dir /data --shell /usr/sbin/nologin liao \
    && install -d -o liao -g liao -m 700 /data
COPY --from=build /src/target/release/liao /usr/local/bin/liao
USER liao
WORKDIR /data
VOLUME /data
# Loopback inside a container reaches nobody. The sockets gateway stays there on purpose: it asks for no password.
ENV LIAO_DATA=/data \
    LIAO_LISTEN_C2S=0.0.0.0:5222 \
    LIAO_LISTEN_C2S_TLS=0.0.0.0:5223 \
    LIAO_LISTEN_HTTPS=0.0.0.0:5281 \
    LIAO_LISTEN_HTTP=off
EXPOSE 5222 5223 5281
HEALTHCHECK --interval=1m --timeout=5s CMD ["liao", "admin", "--data", "/data", "stats"]
ENTRYPOINT ["liao"]
CMD ["serve"]
