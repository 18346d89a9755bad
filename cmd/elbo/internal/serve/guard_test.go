package serve

import (
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// at is an address that is listened on.
type at string

func (a at) Network() string { return "tcp" }
func (a at) String() string  { return string(a) }

var _ net.Addr = at("")

// TestWhoMayAsk is the table of requests that are rejected, and of those beside them that are not.
func TestWhoMayAsk(t *testing.T) {
	const token = "0123456789abcdef"
	for _, c := range []struct {
		name, addr, token string
		method, target    string
		host              string
		header            map[string]string
		want              int
	}{
		{"by the number", "127.0.0.1:8377", "", "GET", "/", "127.0.0.1:8377", nil, 200},
		{"by the name", "127.0.0.1:8377", "", "GET", "/", "localhost:8377", nil, 200},
		{"through another port, as of ssh -L", "127.0.0.1:8377", "", "GET", "/", "localhost:9000", nil, 200},
		{"by IPv6", "[::1]:8377", "", "GET", "/", "[::1]:8377", nil, 200},
		{"DNS rebinding", "127.0.0.1:8377", "", "GET", "/", "evil.example:8377", nil, 421},
		{"DNS rebinding by a name that begins well", "127.0.0.1:8377", "", "GET", "/", "localhost.evil.example", nil, 421},
		{"DNS rebinding of a form", "127.0.0.1:8377", "", "POST", "/decode", "evil.example", map[string]string{"Origin": "http://evil.example"}, 421},
		{"no host", "127.0.0.1:8377", "", "GET", "/", "", nil, 421},

		{"from its own page", "127.0.0.1:8377", "", "POST", "/decode", "127.0.0.1:8377", map[string]string{"Origin": "http://127.0.0.1:8377", "Sec-Fetch-Site": "same-origin"}, 200},
		{"from a program", "127.0.0.1:8377", "", "POST", "/decode", "127.0.0.1:8377", nil, 200},
		{"from another page", "127.0.0.1:8377", "", "POST", "/decode", "127.0.0.1:8377", map[string]string{"Origin": "http://evil.example"}, 403},
		{"from another page of an old browser", "127.0.0.1:8377", "", "POST", "/decode", "127.0.0.1:8377", map[string]string{"Origin": "null"}, 403},
		{"from another site", "127.0.0.1:8377", "", "POST", "/decode", "127.0.0.1:8377", map[string]string{"Sec-Fetch-Site": "cross-site"}, 403},
		{"from another port of this machine", "127.0.0.1:8377", "", "POST", "/decode", "127.0.0.1:8377", map[string]string{"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "same-site"}, 403},

		{"without the token", "0.0.0.0:8377", token, "GET", "/", "box:8377", nil, 401},
		{"with another token", "0.0.0.0:8377", token, "GET", "/", "box:8377", map[string]string{"Authorization": "Bearer 0123456789abcdeF"}, 401},
		{"with a part of it", "0.0.0.0:8377", token, "GET", "/", "box:8377", map[string]string{"Authorization": "Bearer 0123456789"}, 401},
		{"with an empty one", "0.0.0.0:8377", token, "GET", "/", "box:8377", map[string]string{"Authorization": "Bearer "}, 401},
		{"with another cookie", "0.0.0.0:8377", token, "GET", "/", "box:8377", map[string]string{"Cookie": "elbo_token=x"}, 401},
		{"with the wrong token in the address", "0.0.0.0:8377", token, "GET", "/?token=x", "box:8377", nil, 401},
		{"a POST with the token in the address alone", "0.0.0.0:8377", token, "POST", "/decode?token=" + token, "box:8377", nil, 401},
		{"with the token", "0.0.0.0:8377", token, "GET", "/", "box:8377", map[string]string{"Authorization": "Bearer " + token}, 200},
		{"with the cookie", "0.0.0.0:8377", token, "GET", "/", "box:8377", map[string]string{"Cookie": "elbo_token=" + token}, 200},
		{"with the token in the address", "0.0.0.0:8377", token, "GET", "/?token=" + token, "box:8377", nil, 303},
		{"with the cookie, from another page", "0.0.0.0:8377", token, "POST", "/decode", "box:8377", map[string]string{"Cookie": "elbo_token=" + token, "Origin": "http://evil.example"}, 403},
		{"a token on loopback too", "127.0.0.1:8377", token, "GET", "/", "127.0.0.1:8377", nil, 401},
		{"health without it", "0.0.0.0:8377", token, "GET", "/healthz", "box:8377", nil, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			asked := false
			h := newGuard(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }), at(c.addr), c.token, func(path string) bool { return path == "/healthz" })
			r := httptest.NewRequest(c.method, c.target, nil)
			r.Host = c.host
			for name, value := range c.header {
				r.Header.Set(name, value)
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if w.Code != c.want || asked != (c.want == 200) {
				t.Errorf("status %d, and answered: %v; want %d\n%s", w.Code, asked, c.want, w.Body)
			}
			if w.Header().Get("Content-Security-Policy") == "" || w.Header().Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("the answer does not say what a browser may do with it: %v", w.Header())
			}
			if c.want == 303 {
				cookie := w.Header().Get("Set-Cookie")
				if w.Header().Get("Location") != "/" || !strings.Contains(cookie, "HttpOnly") || !strings.Contains(cookie, "SameSite=Strict") {
					t.Errorf("it leads to %q with the cookie %q, want / and a cookie that no script and no other site sees", w.Header().Get("Location"), cookie)
				}
			}
		})
	}
}

// TestAnAddressThatOthersReachWantsAToken.
func TestAnAddressThatOthersReachWantsAToken(t *testing.T) {
	for _, c := range []struct {
		addr, token, want string
	}{
		{"127.0.0.1:8377", "", ""},
		{"localhost:0", "", ""},
		{"[::1]:1", "", ""},
		{"127.0.0.1:8377", "short", "16 characters"},
		{"0.0.0.0:8377", "", "want --token"},
		{":8377", "", "want --token"},
		{"192.168.1.2:80", "", "want --token"},
		{"localhost.evil.example:80", "", "want --token"},
		{"0.0.0.0:8377", "0123456789abcdef", ""},
		{"0.0.0.0:8377", "0123456789abcdef\r\nX: y", "letters, digits"},
	} {
		err := Validate(c.addr, c.token)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s with the token %q: %v, want %q", c.addr, c.token, err, c.want)
		}
	}
}
