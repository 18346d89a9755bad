# One word for each chore, the same on a laptop and in CI.
export CGO_ENABLED = 0

STATICCHECK = go run honnef.co/go/tools/cmd/staticcheck@v0.8.2
FUZZTIME ?= 30s
NOTICES = cmd/elbo/doc/THIRD_PARTY_NOTICES.txt

.PHONY: build check check-onnx check-tensorboard test race bench bench-peers fuzz fused reference reference-bits reference-auroc reference-recompute cross licences

build:            ## the program, ./elbo
	go build -o elbo ./cmd/elbo

check:            ## format, vet, staticcheck, third-party notices, and that every system builds
	@test -z "$$(gofmt -l .)" || { echo "not formatted:"; gofmt -l .; exit 1; }
	go vet ./...
	$(STATICCHECK) ./...
	go mod verify
	go mod tidy -diff
	go run ./cmd/elbo/internal/notices -check $(NOTICES)

licences:         ## write the third-party notices anew, after a change of the modules; look at the diff
	go run ./cmd/elbo/internal/notices $(NOTICES)

cross:            ## that it builds where it is said to
	GOOS=linux GOARCH=arm64 go build -o /dev/null ./cmd/elbo
	GOOS=darwin GOARCH=amd64 go build -o /dev/null ./cmd/elbo
	GOOS=darwin GOARCH=arm64 go build -o /dev/null ./cmd/elbo
	GOOS=windows GOARCH=amd64 go build -o /dev/null ./cmd/elbo

fused:            ## that no product is fused with a sum where the compiler may: runs would have other bits on arm64
	go run ./cmd/elbo/internal/fused

check-onnx: build ## exported models in onnxruntime (first: pip install -r train/testdata/onnx/requirements.txt); two minutes
	python3 train/testdata/onnx/check.py --elbo ./elbo

check-tensorboard: build ## event files in TensorBoard (first: pip install -r cmd/elbo/testdata/tensorboard/requirements.txt); a minute
	python3 cmd/elbo/testdata/tensorboard/check.py --elbo ./elbo

test:             ## all tests
	go test ./...

race:             ## the race detector on what is concurrent (it alone needs cgo and a C compiler)
	CGO_ENABLED=1 go test -race -timeout 40m ./data ./graph/... ./model/... ./train/...

bench:            ## benchmarks, in benchstat's format
	go test -run xxx -bench . -benchmem ./graph/... ./model/... ./data ./train/...

PEERS_PYTHON ?= $(firstword $(wildcard $(HOME)/elbo-peers/bin/python) python3)
bench-peers: build ## elbo next to PyTorch, JAX and numpy, in alternating runs (it says what to install); some twenty minutes on an idle machine
	$(PEERS_PYTHON) train/testdata/peers/peers.py --elbo ./elbo $(PEERS)

fuzz:             ## each fuzz target for FUZZTIME
	@for package in ./data ./train/run ./graph/gemm ./cmd/elbo/internal/serve ./cmd/elbo/internal/tfevents; do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz'); do \
	    echo "$$package $$target"; \
	    go test -run xxx -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 5x $$package || exit 1; \
	  done; \
	done

reference:        ## write the frozen PyTorch figures anew (needs Debian's python3-torch); look at the diff
	/usr/bin/python3 train/testdata/torch/reference.py reference

reference-bits:   ## write the frozen SHA-256 of short runs anew, after a change of numerics that is meant; look at the diff
	ELBO_WRITE_REFERENCE=1 go test ./train -count=1 -run '^TestRunsHaveTheBitsTheyHad$$'

reference-auroc:  ## write the frozen scikit-learn figures anew (the script says what to install); look at the diff
	python3 model/infer/testdata/auroc/reference.py > model/infer/testdata/auroc/reference.json

RECOMPUTE = train/testdata/recompute
reference-recompute: build ## train the frozen checkpoint anew, and recompute its bounds with numpy alone; look at the diff
	ELBO_WRITE_REFERENCE=1 go test ./train -count=1 -run '^TestWriteTheCheckpointToRecompute$$'
	./elbo data export --binarise static --seed 1 --split test --limit 500 --out $(RECOMPUTE)/test.npy
	/usr/bin/python3 $(RECOMPUTE)/recompute.py $(RECOMPUTE)/checkpoint.safetensors $(RECOMPUTE)/test.npy --out $(RECOMPUTE)/reference.json
	rm $(RECOMPUTE)/test.npy
