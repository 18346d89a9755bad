package serve

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// LeastToken is how many characters a token has at least: 16 of hexadecimal digits are 64 bits.
const LeastToken = 16

// guard lets through what may be meant for this program:
//
//   - A program that listens on loopback alone answers to the names of loopback alone, or a page
//     from elsewhere could have its own name point here (DNS rebinding).
//   - A request that changes or computes something, which any page can send, does not come from
//     the page of another origin (cross-site request forgery).
//   - Where there is a token, a request has it, as "Authorization: Bearer TOKEN" or in the cookie
//     that the page's address with ?token=TOKEN leaves.
type guard struct {
	next     http.Handler
	token    string
	loopback bool
	public   func(path string) bool // may be asked without a token: whether the program is there
}

// newGuard guards next, behind the address that is listened on.
func newGuard(next http.Handler, addr net.Addr, token string, public func(path string) bool) http.Handler {
	ours := http.NewCrossOriginProtection()
	return &guard{next: ours.Handler(next), token: token, loopback: isLoopback(addr.String()), public: public}
}

// Validate fails where anybody on the network could ask: an address beyond loopback wants a
// token.
func Validate(addr, token string) error {
	switch {
	case token != "" && len(token) < LeastToken:
		return errors.New("the token is too short to be safe: want 16 characters or more, as `openssl rand -hex 16` makes them")
	case token != strings.Map(tokenOnly, token):
		return errors.New("the token has characters that a header or an address cannot hold: want letters, digits, - and _")
	case token == "" && !isLoopback(addr):
		return errors.New(addr + " can be reached from other machines: want --token, as `openssl rand -hex 16` makes one, or an address of this machine alone, such as 127.0.0.1:8377")
	}
	return nil
}

func tokenOnly(r rune) rune {
	if r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '-' || r == '_' {
		return r
	}
	return -1
}

// isLoopback reports whether host:port is this machine to itself alone.
func isLoopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		host = addr
	}
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil && ip.IsLoopback()
}

const cookieName = "elbo_token"

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	secure(w.Header())
	if g.loopback && !isLoopback(r.Host) {
		fail(w, http.StatusMisdirectedRequest, "the request is for the host %.60q, and this program answers to 127.0.0.1 and localhost alone", r.Host)
		return
	}
	if g.token != "" && !g.public(r.URL.Path) {
		if given := r.URL.Query().Get("token"); given != "" && r.Method == http.MethodGet && g.is(given) {
			http.SetCookie(w, &http.Cookie{Name: cookieName, Value: given, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode})
			http.Redirect(w, r, r.URL.Path, http.StatusSeeOther) // the address that is kept has no token
			return
		}
		if !g.knows(r) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			fail(w, http.StatusUnauthorized, "a token is wanted: open the address that the program printed, or send Authorization: Bearer TOKEN")
			return
		}
	}
	g.next.ServeHTTP(w, r)
}

// knows reports whether a request has the token.
func (g *guard) knows(r *http.Request) bool {
	if given, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return g.is(given)
	}
	cookie, err := r.Cookie(cookieName)
	return err == nil && g.is(cookie.Value)
}

// is compares a token in a time that does not tell how much of it is right.
func (g *guard) is(given string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(g.token))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// secure says what a browser may do with an answer: take scripts, styles and pictures from here
// alone, stand in no other page, and be kept nowhere.
func secure(h http.Header) {
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
}
