# Build: one static-as-can-be binary, MNIST included. (No compiler but Go's is needed.)
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -o /usr/local/bin/elbo ./cmd/elbo

# Run: Debian, a user without rights, and a volume for runs.
FROM debian:bookworm-slim AS alone
RUN useradd --uid 10001 --create-home --home-dir /home/elbo elbo \
 && mkdir /runs && chown elbo:elbo /runs
COPY --from=build /usr/local/bin/elbo /usr/local/bin/elbo
COPY LICENSE NOTICE cmd/elbo/doc/THIRD_PARTY_NOTICES.txt /usr/share/doc/elbo/
USER elbo
# The working directory is the parent of the default place for runs.
WORKDIR /
VOLUME /runs
ENTRYPOINT ["elbo"]
CMD ["train"]

# The same with Open MPI, for several processes: docker build --target mpi -t elbo-mpi .
FROM alone AS mpi
USER root
RUN apt-get update && apt-get install -y --no-install-recommends openmpi-bin openssh-client \
 && rm -rf /var/lib/apt/lists/*
USER elbo
ENTRYPOINT []
CMD ["mpirun", "-np", "2", "elbo", "train"]

FROM alone
