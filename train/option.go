package train

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Option is one setting of a Config by its name, which is the name of a flag and
// the key of a configuration file alike.
type Option struct {
	Key   string
	Usage string
	Value Value
	After string   // the key that a setting of a kind stands behind in a file; "": its kind's last one, the first behind likelihood
	Kinds []string // the names of the kinds that have it, in Options; nil: every one

	// For help and completion, in Options.
	Group   string   // one of OptionGroups
	Values  []string // that it takes; nil where they cannot be listed
	Default string   // in words, of every kind

	// Unwritten are the values that a file leaves out: those that a file without the key,
	// which may be older than the setting, stands for.
	Unwritten []string
}

// Options are the settings of all kinds, by default Kinds, without repetition and with the
// defaults of the first kind that has them. Where two kinds have settings in common, they
// have them in the same order, and so does the result.
func Options(kinds ...Kind) []Option {
	kinds = orKinds(kinds)
	var queues [][]Option
	for _, k := range kinds {
		c := k.Config()
		queues = append(queues, c.Options())
	}
	var all []Option
	for {
		next := nextOption(queues)
		if next == nil {
			return all
		}
		o := *next
		var names []string
		for i, q := range queues {
			if len(q) > 0 && q[0].Key == o.Key {
				names = append(names, kinds[i].Name)
				queues[i] = q[1:]
			}
		}
		if len(names) < len(kinds) {
			o.Kinds = names
		}
		if o.Key == "model" {
			o.Usage += ": " + oneOf(kinds)
		}
		o.Group, o.Values, o.Default = groupOf(o.Key), valuesOf(o.Key), defaultOf(o.Key, kinds)
		all = append(all, o)
	}
}

// nextOption is the first head of a queue that stands behind no other head; where each
// does, as kinds disagree on an order, the first of all. Nil at the end.
func nextOption(queues [][]Option) *Option {
	var first *Option
	for _, q := range queues {
		if len(q) == 0 {
			continue
		}
		behind := func(other []Option) bool {
			return slices.ContainsFunc(other[min(1, len(other)):], func(o Option) bool { return o.Key == q[0].Key })
		}
		if !slices.ContainsFunc(queues, behind) {
			return &q[0]
		}
		if first == nil {
			first = &q[0]
		}
	}
	return first
}

// Of reports whether a kind has the option.
func (o Option) Of(kind string) bool { return o.Kinds == nil || slices.Contains(o.Kinds, kind) }

// NotOf says that a kind does not have the option, which goes by the name key.
func (o Option) NotOf(kind, key string) error {
	return fmt.Errorf("%s is a setting of %s, not of %s", key, strings.Join(o.Kinds, " and "), kind)
}

// Value is a setting as text. (It is what package pflag asks of a flag's value.)
type Value interface {
	String() string
	Set(text string) error // an error does not repeat the key
	Type() string          // a word for the help text
}

// setting is a Value that stands for a field.
type setting[T any] struct {
	field  *T
	kind   string
	parse  func(string) (T, error)
	format func(T) string
}

func (s setting[T]) Type() string   { return s.kind }
func (s setting[T]) String() string { return s.format(*s.field) }

func (s setting[T]) Set(text string) error {
	v, err := s.parse(strings.TrimSpace(text))
	if err != nil {
		return err
	}
	*s.field = v
	return nil
}

func integer(field *int) Value {
	return setting[int]{field, "N", func(s string) (int, error) {
		n, err := strconv.Atoi(s)
		return n, wrong(err, s, "a whole number")
	}, strconv.Itoa}
}

func natural(field *uint64) Value {
	return setting[uint64]{field, "N", func(s string) (uint64, error) {
		n, err := strconv.ParseUint(s, 10, 64)
		return n, wrong(err, s, "a whole number from 0")
	}, func(n uint64) string { return strconv.FormatUint(n, 10) }}
}

func number(field *float64) Value {
	return setting[float64]{field, "X", func(s string) (float64, error) {
		x, err := strconv.ParseFloat(s, 64)
		return x, wrong(err, s, "a number")
	}, func(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }}
}

// name is a setting that has a name out of a list; Validate says which.
func name[T ~string](field *T, kind string) Value {
	return setting[T]{field, kind, func(s string) (T, error) { return T(s), nil }, func(v T) string { return string(v) }}
}

// list is a comma-separated list of whole numbers.
func list(field *[]int, kind string) Value {
	return setting[[]int]{field, kind, func(s string) ([]int, error) {
		numbers := []int{}
		if s == "" {
			return numbers, nil
		}
		for part := range strings.SplitSeq(s, ",") {
			n, err := strconv.Atoi(strings.TrimSpace(part))
			if err != nil {
				return nil, wrong(err, s, "whole numbers with commas between, as in 200,200")
			}
			numbers = append(numbers, n)
		}
		return numbers, nil
	}, func(numbers []int) string {
		parts := make([]string, len(numbers))
		for i, n := range numbers {
			parts[i] = strconv.Itoa(n)
		}
		return strings.Join(parts, ",")
	}}
}

// numbers is a comma-separated list of numbers.
func numbers(field *[]float64, kind string) Value {
	return setting[[]float64]{field, kind, func(s string) ([]float64, error) {
		var all []float64
		for part := range strings.SplitSeq(s, ",") {
			x, err := strconv.ParseFloat(strings.TrimSpace(part), 64)
			if err != nil && s != "" {
				return nil, wrong(err, s, "numbers with commas between, as in 0,255")
			}
			if s != "" {
				all = append(all, x)
			}
		}
		return all, nil
	}, func(all []float64) string {
		var parts []string
		for _, x := range all {
			parts = append(parts, strconv.FormatFloat(x, 'g', -1, 64))
		}
		return strings.Join(parts, ",")
	}}
}

// side is a height and a width, or one number for both.
func side(field *[]int) Value {
	v := extent(field).(setting[[]int])
	return setting[[]int]{field, "HxW", func(s string) ([]int, error) {
		sides, err := v.parse(s)
		if len(sides) == 1 {
			sides = append(sides, sides[0])
		}
		if len(sides) == 0 {
			sides = nil
		}
		return sides, wrong(err, s, "height and width with x between, as in 32x32")
	}, v.format}
}

// layers is a list of sizes of hidden layers; "none" is a word for no layer.
func layers(field *[]int) Value {
	v := list(field, "N,...|none").(setting[[]int])
	return setting[[]int]{field, v.kind, func(s string) ([]int, error) {
		if s == "none" {
			return []int{}, nil
		}
		numbers, err := v.parse(s)
		return numbers, wrong(err, s, "whole numbers with commas between, as in 200,200, or none")
	}, v.format}
}

// flag is a setting that is on or off.
func flag(field *bool) Value {
	return setting[bool]{field, "", func(s string) (bool, error) {
		on, err := strconv.ParseBool(s)
		return on, wrong(err, s, "true or false")
	}, strconv.FormatBool}
}

// extent is a list of whole numbers with x between.
func extent(field *[]int) Value {
	v := list(field, "NxN").(setting[[]int])
	return setting[[]int]{field, "NxN", func(s string) ([]int, error) {
		numbers, err := v.parse(strings.ReplaceAll(s, "x", ","))
		return numbers, wrong(err, s, "whole numbers with x between, as in 20x20")
	}, v.format}
}

// learned is a variance: a positive number, or 0 that goes by the name "learned".
func learned(field *float64) Value {
	v := number(field).(setting[float64])
	return setting[float64]{field, "X|learned", func(s string) (float64, error) {
		if s == "learned" {
			return 0, nil
		}
		x, err := v.parse(s)
		if err == nil && x == 0 {
			err = wrong(strconv.ErrRange, s, "a positive number or learned")
		}
		return x, err
	}, func(x float64) string {
		if x == 0 {
			return "learned"
		}
		return v.format(x)
	}}
}

// variance is one that is learned or a number, or goes by the name "pixel".
func variance(field *Variance) Value {
	v := learned(&field.Value).(setting[float64])
	return setting[Variance]{field, "X|learned|pixel", func(s string) (Variance, error) {
		if s == "pixel" {
			return Variance{Pixel: true}, nil
		}
		x, err := v.parse(s)
		if err != nil {
			err = fmt.Errorf("%w, or pixel", err)
		}
		return Variance{Value: x}, err
	}, func(x Variance) string {
		if x.Pixel {
			return "pixel"
		}
		return v.format(x.Value)
	}}
}

func wrong(err error, got, want string) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%.80q, want %s", got, want)
}

// Set sets the option of that name.
func (c *Config) Set(key, text string) error {
	for _, o := range c.Options() {
		if o.Key == key {
			return o.Value.Set(text)
		}
	}
	return fmt.Errorf("%s has no setting %s", c.Model, key)
}

// ReadConfig reads a JSON object whose keys are names of options, with the defaults of its
// kind of model for those that are not there; without the key model, that is the first of
// the kinds, by default Kinds. A list may be written as an array or as text with commas. A
// byte order mark before it is skipped. Every unknown key, every key that is there twice
// and every value that cannot be read is in the error; the rest is in the configuration.
func ReadConfig(text []byte, kinds ...Kind) (Config, error) {
	return ReadConfigWith(nil, text, kinds...)
}

// ReadConfigWith is ReadConfig where the object may set further options.
func ReadConfigWith(extra []Option, text []byte, kinds ...Kind) (Config, error) {
	kinds = orKinds(kinds)
	c := kinds[0].Config()
	if bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) {
		return c, errors.New("config: UTF-16, by its byte order mark, want UTF-8")
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var object map[string]json.RawMessage
	if err := json.Unmarshal(text, &object); err != nil {
		return c, fmt.Errorf("config: not a JSON object: %w", err)
	}
	if object == nil { // null
		return c, errors.New("config: null, want a JSON object")
	}
	// The model comes first: it decides on the defaults and on which keys there are.
	if raw, ok := object["model"]; ok {
		if name, err := jsonText(raw); err == nil {
			if _, known := findKind(name, kinds); !known {
				return c, fmt.Errorf("config: model is %.80q, want %s", name, oneOf(kinds)) // which settings it has is not known
			}
			c = defaultConfig(name, kinds)
		}
	}
	model := c.Model
	known := append(Options(kinds...), extra...)
	options := append(c.Options(), extra...)
	find := func(options []Option, key string) int {
		return slices.IndexFunc(options, func(o Option) bool { return o.Key == key })
	}
	var faults []error
	for _, key := range repeatedKeys(text) {
		faults = append(faults, fmt.Errorf("config: key %.80q is there twice, want it once", key))
	}
	for _, key := range sortedKeys(object) {
		spelled := SpelledHere(key)
		if _, both := object[spelled]; both && spelled != key {
			faults = append(faults, fmt.Errorf("config: %s and %s are one setting: leave one out", spelled, key))
			continue
		}
		i := find(known, spelled)
		if i < 0 {
			faults = append(faults, fmt.Errorf("config: unknown key %.80q%s", key, didYouMean(key, known)))
			continue
		}
		own := find(options, spelled)
		if own < 0 {
			faults = append(faults, fmt.Errorf("config: %w", known[i].NotOf(model, key)))
			continue
		}
		value, err := jsonText(object[key])
		if err == nil {
			err = options[own].Value.Set(value)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("config: %s is %w", key, err))
		}
	}
	// Before there was a choice, a run had its images in their order; every run has a split
	// in its file.
	if _, chosen := object["split-by"]; !chosen && len(c.Split) > 0 {
		c.SplitBy = ByOrder
	}
	return c, errors.Join(faults...)
}

// SpelledHere returns a key as Options spells it: binarize is binarise elsewhere.
func SpelledHere(key string) string {
	if key == "binarize" {
		return "binarise"
	}
	return key
}

// repeatedKeys returns the keys that a JSON object has more than once: the last would win
// without a word.
func repeatedKeys(object []byte) []string {
	var repeated []string
	seen := map[string]int{}
	decoder := json.NewDecoder(bytes.NewReader(object))
	decoder.Token() // the brace: what is no object was refused before
	for decoder.More() {
		key, _ := decoder.Token()
		name, ok := key.(string)
		var value json.RawMessage
		if !ok || decoder.Decode(&value) != nil {
			break
		}
		if seen[name]++; seen[name] == 2 {
			repeated = append(repeated, name)
		}
	}
	return repeated
}

// jsonText writes a JSON value as a flag would be written.
func jsonText(raw json.RawMessage) (string, error) {
	var value any
	decoder := json.NewDecoder(strings.NewReader(string(raw)))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return "", err
	}
	switch v := value.(type) {
	case string:
		return v, nil
	case json.Number:
		return v.String(), nil
	case bool:
		return strconv.FormatBool(v), nil
	case []any:
		parts := make([]string, len(v))
		for i, item := range v {
			n, ok := item.(json.Number)
			if !ok {
				return "", fmt.Errorf("%.80s, want an array of numbers", raw)
			}
			parts[i] = n.String()
		}
		return strings.Join(parts, ","), nil
	}
	return "", fmt.Errorf("%.80s, want a number, text or an array of numbers", raw)
}

// JSON returns the configuration as ReadConfig reads it, one key a line in the
// order of Options. Runs are compared by these bytes.
func (c Config) JSON() []byte {
	var lines []string
	for _, o := range c.Options() {
		if slices.Contains(o.Unwritten, o.Value.String()) {
			continue
		}
		key, _ := json.Marshal(o.Key) // text always has a JSON form
		lines = append(lines, fmt.Sprintf("\n  %s: %s", key, jsonOf(o.Value)))
	}
	return []byte("{" + strings.Join(lines, ",") + "\n}\n")
}

// jsonOf writes a setting as jsonText reads it: a number with the digits of its text, a
// list of numbers as an array, and text where there is no such form, as for a variance
// that is learned.
func jsonOf(v Value) []byte {
	text := v.String()
	var value any = text
	switch v := v.(type) {
	case setting[[]int], hiddenGroups:
		value = json.RawMessage("[" + text + "]")
	case latentLayers:
		value = json.RawMessage(text)
		if v.n.Stochastic.Several() {
			value = json.RawMessage("[" + text + "]")
		}
	case setting[int], setting[uint64], setting[float64], setting[bool], setting[Variance]:
		value = json.RawMessage(text)
	}
	written, err := json.Marshal(value)
	if err != nil {
		written, _ = json.Marshal(text)
	}
	return written
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

// didYouMean suggests the option that shares the most letters with a wrong key.
func didYouMean(key string, options []Option) string {
	best, score := "", 0
	for _, o := range options {
		common := 0
		for i := 0; i < min(len(key), len(o.Key)) && key[i] == o.Key[i]; i++ {
			common++
		}
		if common > score {
			best, score = o.Key, common
		}
	}
	if score < 2 {
		return "; `elbo train --help` lists the keys"
	}
	return fmt.Sprintf("; did you mean %q?", best)
}
