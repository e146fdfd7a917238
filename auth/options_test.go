package auth_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabberd/gabberd/auth"
	"github.com/gabberd/gabberd/config"
)

func decode(t *testing.T, text string) (o auth.Options, mistakes []error) {
	t.Helper()
	n, err := config.Parse("x.yml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	mistakes, _ = config.Decode(n, &o)
	return o, mistakes
}

func TestOptions(t *testing.T) {
	o, bad := decode(t, `auth_method: [internal, odbc, anonymous]
anonymous_protocol: both
auth_stored_password_types: [plain, scram_sha256]
disable_sasl_mechanisms: [plain, x-Oauth2]
auth_cache_life_time: 5 minutes
`)
	if bad != nil {
		t.Fatal(bad)
	}
	o.Inherit("sql", false, 7, time.Second)
	if !slices.Equal(o.Methods, []string{"mnesia", "sql", "anonymous"}) || o.AnonymousProtocol != "both" ||
		!slices.Equal(o.StoredTypes, []string{"plain", "scram_sha256"}) ||
		!slices.Equal(o.DisabledMechanisms, []string{"PLAIN", "X-OAUTH2"}) ||
		o.UseCache || o.CacheSize != 7 || o.CacheLifeTime != 5*time.Minute {
		t.Errorf("got %+v", o)
	}
	o, bad = decode(t, "{}")
	o.Inherit("sql", true, 7, time.Second)
	if bad != nil || !slices.Equal(o.Methods, []string{"sql"}) || o.PasswordFormat != "plain" || o.ScramHash != "sha" {
		t.Errorf("without options: %+v %v", o, bad)
	}
}

func TestOptionMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"auth_method: [sql, ldap]":           "x.yml:1:20: auth_method[1]: ldap is not built yet, and without it the wrong people could log in",
		"auth_method: external":              "external is not built yet",
		"auth_method: jwt":                   "jwt is not built yet",
		"auth_method: pam":                   "pam is not built yet",
		"auth_method: sqll":                  `"sqll" is not one of sql, mnesia, anonymous`,
		"auth_method: []":                    "needs at least one of sql",
		"auth_method: {sql: x}":              "expected a name",
		"auth_password_format: md5":          "auth_password_format",
		"auth_scram_hash: sha1":              "auth_scram_hash",
		"auth_stored_password_types: [sha1]": "auth_stored_password_types",
		"anonymous_protocol: none":           "anonymous_protocol",
	} {
		if _, bad := decode(t, text); len(bad) != 1 || !strings.Contains(bad[0].Error(), want) {
			t.Errorf("%s: %v, want one mistake with %q", text, bad, want)
		}
	}
}

func TestReload(t *testing.T) {
	h, _ := accounts(t, nil, func(o *auth.Options) { o.Methods = []string{"anonymous"} })
	if err := h.Reload(t.Context(), options(func(o *auth.Options) { o.Methods = []string{"ldap"} })); err == nil {
		t.Error("a reload with a backend that does not exist works")
	}
	if err := h.Reload(t.Context(), options(nil)); err == nil {
		t.Error("a reload with sql works without a database")
	}
	if got := h.Mechanisms(auth.Stream{}); !slices.Contains(got, "ANONYMOUS") {
		t.Errorf("after a reload that failed: %v", got)
	}
	err := h.Reload(t.Context(), options(func(o *auth.Options) { o.Methods, o.DisabledMechanisms = []string{"anonymous"}, []string{"ANONYMOUS"} }))
	if got := h.Mechanisms(auth.Stream{}); err != nil || slices.Contains(got, "ANONYMOUS") {
		t.Errorf("after a reload: %v %v", got, err)
	}
}
