// Package tfevents writes and reads event files, the logs that TensorBoard shows: a file of
// records, each a protocol buffer with numbers and pictures of one step. Of the format it knows
// what the logs of a run need.
//
// Sources: tensorflow/core/util/event.proto and tensorflow/core/framework/summary.proto for the
// numbers of the fields, tensorflow/core/lib/io/record_writer.h for the frame of a record.
package tfevents

import (
	"fmt"
	"math"
	"time"

	"google.golang.org/protobuf/encoding/protowire"
)

// Event is what a file says of one step.
type Event struct {
	Time    time.Time
	Step    int64
	Version string // of the format; in the first event of a file alone
	Restart bool   // what earlier events say of this step and of later ones does not hold any more
	Scalars []Scalar
	Images  []Image
}

// Scalar is a number by its tag, such as "train/bound". Tags that begin alike are shown together.
type Scalar struct {
	Tag   string
	Value float32
}

// Image is a picture by its tag.
type Image struct {
	Tag           string
	Height, Width int
	PNG           []byte // the bytes of a PNG file
}

// The numbers of the fields.
const (
	eventTime    = 1 // double, seconds since 1970
	eventStep    = 2 // int64
	eventVersion = 3 // string
	eventSummary = 5 // message of values
	eventSession = 7 // message with a status

	summaryValue = 1

	valueTag    = 1
	valueScalar = 2 // float
	valueImage  = 4 // message

	imageHeight = 1
	imageWidth  = 2
	imageColour = 3 // channels
	imagePNG    = 4

	sessionStatus = 1
	sessionStart  = 1 // the status
)

// channels is what pictures are said to have. It is their file that is shown.
const channels = 3

// encode returns the bytes of an event.
func (e *Event) encode() []byte {
	var b []byte
	b = protowire.AppendTag(b, eventTime, protowire.Fixed64Type)
	b = protowire.AppendFixed64(b, math.Float64bits(float64(e.Time.Unix())+float64(e.Time.Nanosecond())/1e9))
	b = appendNumber(b, eventStep, e.Step)
	if e.Version != "" {
		b = appendBytes(b, eventVersion, []byte(e.Version))
	}
	if e.Restart {
		b = appendBytes(b, eventSession, appendNumber(nil, sessionStatus, sessionStart))
	}
	var values []byte
	for _, s := range e.Scalars {
		v := appendBytes(nil, valueTag, []byte(s.Tag))
		v = protowire.AppendTag(v, valueScalar, protowire.Fixed32Type)
		v = protowire.AppendFixed32(v, math.Float32bits(s.Value))
		values = appendBytes(values, summaryValue, v)
	}
	for _, i := range e.Images {
		var image []byte
		image = appendNumber(image, imageHeight, int64(i.Height))
		image = appendNumber(image, imageWidth, int64(i.Width))
		image = appendNumber(image, imageColour, channels)
		image = appendBytes(image, imagePNG, i.PNG)
		v := appendBytes(nil, valueTag, []byte(i.Tag))
		values = appendBytes(values, summaryValue, appendBytes(v, valueImage, image))
	}
	if values != nil {
		b = appendBytes(b, eventSummary, values)
	}
	return b
}

func appendNumber(b []byte, field protowire.Number, v int64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), uint64(v))
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

// decode reads the bytes of an event. What it does not know of is passed over.
func (e *Event) decode(b []byte) error {
	return fields(b, func(f field) error {
		switch {
		case f.is(eventTime, protowire.Fixed64Type):
			e.Time = timeOf(math.Float64frombits(f.number))
		case f.is(eventStep, protowire.VarintType):
			e.Step = int64(f.number)
		case f.is(eventVersion, protowire.BytesType):
			e.Version = string(f.bytes)
		case f.is(eventSession, protowire.BytesType):
			return fields(f.bytes, func(f field) error {
				if f.is(sessionStatus, protowire.VarintType) {
					e.Restart = f.number == sessionStart
				}
				return nil
			})
		case f.is(eventSummary, protowire.BytesType):
			return fields(f.bytes, func(f field) error {
				if f.is(summaryValue, protowire.BytesType) {
					return e.decodeValue(f.bytes)
				}
				return nil
			})
		}
		return nil
	})
}

// timeOf is the time so many seconds after 1970, to the microsecond, which is what the seconds
// of our days are known to; the zero time where they are none of ours.
func timeOf(seconds float64) time.Time {
	if math.Abs(seconds) > 1e11 || math.IsNaN(seconds) {
		return time.Time{}
	}
	return time.UnixMicro(int64(math.Round(seconds * 1e6)))
}

func (e *Event) decodeValue(b []byte) error {
	var tag string
	var scalar *float32
	var image *Image
	err := fields(b, func(f field) error {
		switch {
		case f.is(valueTag, protowire.BytesType):
			tag = string(f.bytes)
		case f.is(valueScalar, protowire.Fixed32Type):
			scalar = new(math.Float32frombits(uint32(f.number)))
		case f.is(valueImage, protowire.BytesType):
			image = new(Image)
			return fields(f.bytes, func(f field) error {
				switch {
				case f.is(imageHeight, protowire.VarintType):
					image.Height = int(int32(f.number))
				case f.is(imageWidth, protowire.VarintType):
					image.Width = int(int32(f.number))
				case f.is(imagePNG, protowire.BytesType):
					image.PNG = f.bytes
				}
				return nil
			})
		}
		return nil
	})
	if scalar != nil {
		e.Scalars = append(e.Scalars, Scalar{tag, *scalar})
	}
	if image != nil {
		image.Tag = tag
		e.Images = append(e.Images, *image)
	}
	return err
}

// field is one of a message.
type field struct {
	of     protowire.Number
	kind   protowire.Type
	number uint64 // of the kinds that are numbers
	bytes  []byte // of those that are bytes
}

func (f field) is(of protowire.Number, kind protowire.Type) bool { return f.of == of && f.kind == kind }

// fields calls each for the fields of a message, in their order.
func fields(b []byte, each func(field) error) error {
	for len(b) > 0 {
		var f field
		var n int
		f.of, f.kind, n = protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("no protocol buffer: %w", protowire.ParseError(n))
		}
		b = b[n:]
		switch f.kind {
		case protowire.VarintType:
			f.number, n = protowire.ConsumeVarint(b)
		case protowire.Fixed64Type:
			f.number, n = protowire.ConsumeFixed64(b)
		case protowire.Fixed32Type:
			var v uint32
			v, n = protowire.ConsumeFixed32(b)
			f.number = uint64(v)
		case protowire.BytesType:
			f.bytes, n = protowire.ConsumeBytes(b)
		default:
			n = protowire.ConsumeFieldValue(f.of, f.kind, b)
		}
		if n < 0 {
			return fmt.Errorf("no protocol buffer: field %d: %w", f.of, protowire.ParseError(n))
		}
		b = b[n:]
		if err := each(f); err != nil {
			return err
		}
	}
	return nil
}
