# Both programs and the bundled models on an empty image: no shell, no libc, no user but the one it runs as.
#   docker build -t edgellm . && docker run --rm edgellm
FROM debian:bookworm-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake g++ make && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN make install PREFIX=/usr DESTDIR=/image

FROM scratch
COPY --from=build /image/usr/bin/ /usr/bin/
COPY --from=build /image/usr/share/edgellm/ /usr/share/edgellm/
USER 65532:65532
ENTRYPOINT ["/usr/bin/edgellm"]
CMD ["/usr/share/edgellm/stories.tm2", "-i", "Once upon a time", "-n", "128"]
