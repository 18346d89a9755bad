package serve

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"time"

	"elbo/data"
	"elbo/model/infer"
	"elbo/train"
)

// What a request may take.
const (
	mostBody     = 64 << 20 // bytes: 20 000 images of MNIST as .npy of float32
	mostJSON     = 32 << 20
	mostImages   = 10_000
	mostDraws    = 100_000
	mostScored   = 10_000_000 // images times draws
	timeToRead   = 30 * time.Second
	timeToAnswer = 2 * time.Minute
)

// badRequest is a request that cannot be answered, with the status that says so.
type badRequest struct {
	status int
	text   string
}

func (e *badRequest) Error() string { return e.text }

// refuse is the error of a request that asks for what cannot be.
func refuse(format string, args ...any) error {
	return &badRequest{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

// fail answers with an error, as JSON.
func fail(w http.ResponseWriter, status int, format string, args ...any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"error": fmt.Sprintf(format, args...)})
}

// failWith answers with the status that suits an error. What is no fault of the request is told
// to say, and not to whoever asked.
func failWith(w http.ResponseWriter, err error, say func(format string, args ...any)) {
	var bad *badRequest
	var tooLarge *http.MaxBytesError
	var config *train.ConfigError
	var option *infer.OptionError
	var format *data.FormatError
	switch {
	case errors.As(err, &bad):
		fail(w, bad.status, "%s", bad.text)
	case errors.As(err, &tooLarge):
		fail(w, http.StatusRequestEntityTooLarge, "the request has more than %d bytes: send fewer images at a time", tooLarge.Limit)
	case errors.Is(err, errBusy):
		w.Header().Set("Retry-After", "1")
		fail(w, http.StatusServiceUnavailable, "%s", err)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		fail(w, http.StatusServiceUnavailable, "the answer took more than %s: ask for fewer images or draws", timeToAnswer)
	case errors.As(err, &config), errors.As(err, &option), errors.As(err, &format):
		fail(w, http.StatusBadRequest, "%s", err)
	default:
		say("%s", err)
		fail(w, http.StatusInternalServerError, "the program could not answer; its own messages say why")
	}
}

// answer writes a value as JSON.
func answer(w http.ResponseWriter, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(append(text, '\n')) // who asked and left does not want to hear that it failed
	return nil
}

// kindOf is the media type of a request's body.
func kindOf(r *http.Request) string {
	kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return kind
}

// readJSON reads a request's body into value. What it has that value does not is a fault.
func readJSON(w http.ResponseWriter, r *http.Request, most int64, value any) error {
	if kind := kindOf(r); kind != "application/json" {
		return &badRequest{http.StatusUnsupportedMediaType, fmt.Sprintf("the content type is %.40q, want application/json", kind)}
	}
	d := json.NewDecoder(http.MaxBytesReader(w, r.Body, most))
	d.DisallowUnknownFields()
	if err := d.Decode(value); err != nil {
		var tooLarge *http.MaxBytesError
		if errors.As(err, &tooLarge) {
			return err
		}
		return refuse("the body is not the JSON that was wanted: %s", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return refuse("the body goes on after its JSON object")
	}
	return nil
}
