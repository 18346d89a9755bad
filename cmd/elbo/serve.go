package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"github.com/spf13/cobra"

	"elbo/cmd/elbo/internal/serve"
)

// servedAt is where `elbo serve` listens, unless told otherwise.
const servedAt = "127.0.0.1:8377"

// checkpointsEvery is how often a better checkpoint is looked for, and takes over.
const checkpointsEvery = 2 * time.Second

type serveOptions struct {
	path, addr, token string
	api               bool
	queue             int
}

func newServeCmd(p *program) *cobra.Command {
	var o serveOptions
	cmd := &cobra.Command{
		Use:   "serve [DIR] | serve RUN|CHECKPOINT --api",
		Short: "A page to watch runs and walk latent spaces, or an API that asks one model",
		Long: `Show the runs in a directory (default: runs) on a page for the browser: their bounds, pictures
and messages, as they change while they are trained; several runs on one chart; and the
latent space of each: drag over the plane of two dimensions, or move sliders, sorted by
their KL; draw an image and see its posterior, ELBO, L_k and log p(x); go from one image
to another. The page reads what lies in the directory. A run need not know of it.

With --api a trained model answers programs: POST /v1/encode, /v1/score, /v1/decode and
/v1/sample, with JSON or .npy; /openapi.json says what they take. /metrics is for
Prometheus, /healthz and /readyz are for whoever keeps it running. A better checkpoint of
the run takes over when it is saved, and no request is lost, nor when the program is
interrupted: it finishes those under way.

Only this machine is answered. Where --addr says otherwise, --token is wanted, which
programs send as "Authorization: Bearer TOKEN"; a browser gets it from the address that
is printed. There is no encryption: beyond a network that you trust, put it behind a proxy
that has some, or reach it through ssh -L 8377:127.0.0.1:8377.`,
		Example: "  elbo serve\n  elbo serve runs/sweep --addr 127.0.0.1:0\n  elbo serve runs/vae-001 --api --queue 128",
		Args:    cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 1 {
				return usagef("serve takes one directory or run, got %d", len(args))
			}
			if o.api && len(args) == 0 {
				return usagef("serve --api needs the run that is to answer: elbo serve runs/vae-001 --api")
			}
			o.path = runsOf(args)
			return runServe(cmd.Context(), p, o)
		},
	}
	cmd.Flags().StringVar(&o.addr, "addr", servedAt, "address to listen on; a port of 0 is any that is free")
	cmd.Flags().StringVar(&o.token, "token", "", "what whoever asks has to know, 16 characters or more; wanted where other machines can reach the address")
	cmd.Flags().BoolVar(&o.api, "api", false, "answer programs that ask the model of a run, in place of the page")
	cmd.Flags().IntVar(&o.queue, "queue", 64, "of --api: requests that compute or wait at a time; more are told to try again")
	return cmd
}

func runServe(ctx context.Context, p *program, o serveOptions) error {
	if o.queue < 1 || o.queue > 100_000 {
		return usagef("queue is %d, want 1 to 100000", o.queue)
	}
	if err := serve.Validate(o.addr, o.token); err != nil {
		return usagef("%w", err)
	}
	open := func(path string) (*serve.Loaded, error) {
		t, err := p.openTrained(path, "best", "")
		if err != nil {
			return nil, err
		}
		return &serve.Loaded{Setup: t.Setup, Checkpoint: t.Path, Description: describeModel(t.Setup) + ", on " + t.Dataset.Name}, nil
	}
	handler, what, err := p.handler(ctx, o, open)
	if err != nil {
		return err
	}
	listener, err := serve.Listen(o.addr)
	if err != nil {
		return usagef("%w", err)
	}
	address := "http://" + listener.Addr().String() + "/"
	if o.token != "" && !o.api {
		address += "?token=" + o.token
	}
	fmt.Fprintf(p.stdout, "%s\n", address)
	p.say("%s; Ctrl-C ends it", what)
	return serve.Serve(ctx, listener, o.token, handler, p.say)
}

// handler makes the page or the API, and has it follow what changes on the disk.
func (p *program) handler(ctx context.Context, o serveOptions, open serve.Open) (h serve.Handler, what string, err error) {
	if o.api {
		api, err := serve.NewAPI(serve.APIOptions{Run: o.path, Queue: o.queue, Open: open, Now: p.now, Say: p.say})
		if err != nil {
			return nil, "", err
		}
		tick := time.NewTicker(checkpointsEvery)
		context.AfterFunc(ctx, tick.Stop)
		go api.Follow(ctx, tick.C)
		return api, fmt.Sprintf("%s answers; /openapi.json says what may be asked", o.path), nil
	}
	if info, err := os.Stat(o.path); err != nil || !info.IsDir() {
		return nil, "", usagef("%s is no directory: want one of runs; for the API of one checkpoint, --api", o.path)
	}
	page := serve.NewPage(serve.PageOptions{Dir: o.path, Open: open, Say: p.say})
	go page.Follow()
	return page, "the runs in " + o.path + " are on that page", nil
}
