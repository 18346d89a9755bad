package serve

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// schema is what the OpenAPI document says of a value.
type schema struct {
	Properties map[string]schema
	Items      *schema
}

// TestTheOpenAPIDocumentHasEveryKey of what is asked and answered, and no other.
func TestTheOpenAPIDocumentHasEveryKey(t *testing.T) {
	type body struct {
		Content map[string]struct{ Schema schema }
	}
	var document struct {
		Paths map[string]map[string]struct {
			RequestBody body
			Responses   map[string]body
		}
	}
	if err := json.Unmarshal(openAPI, &document); err != nil {
		t.Fatal(err)
	}
	asked := func(path string) schema {
		return document.Paths[path]["post"].RequestBody.Content["application/json"].Schema
	}
	answered := func(path, method string) schema {
		return document.Paths[path][method].Responses["200"].Content["application/json"].Schema
	}
	scored := answered("/v1/score", "post")
	for _, c := range []struct {
		what string
		says schema
		is   reflect.Type
	}{
		{"a request for scores", asked("/v1/score"), reflect.TypeFor[imagesAsked]()},
		{"scores", scored, reflect.TypeFor[scoreAnswer]()},
		{"the score of an image", *scored.Properties["images"].Items, reflect.TypeFor[imageAnswer]()},
		{"codes", answered("/v1/encode", "post"), reflect.TypeFor[codesAnswer]()},
		{"a model", answered("/v1/model", "get"), reflect.TypeFor[aboutAnswer]()},
	} {
		var keys []string
		for i := range c.is.NumField() {
			key, _, _ := strings.Cut(c.is.Field(i).Tag.Get("json"), ",")
			keys = append(keys, key)
		}
		slices.Sort(keys)
		if said := slices.Sorted(maps.Keys(c.says.Properties)); !slices.Equal(said, keys) {
			t.Errorf("%s: the document has %v, the program %v", c.what, said, keys)
		}
	}
}
