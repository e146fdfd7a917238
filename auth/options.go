package auth

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabberd/gabberd/config"
)

// Options say how the users of a virtual host prove who they are.
type Options struct {
	Methods             []string // auth_method
	AnonymousProtocol   string
	MultipleConnections bool

	PasswordFormat string // plain or scram
	ScramHash      string // sha, sha256 or sha512
	StoredTypes    []string
	HiddenTypes    []string

	DisabledMechanisms    []string
	NoDowngradeProtection bool

	UseCache      bool
	CacheSize     int
	CacheLifeTime time.Duration

	given struct{ methods, use, size, life bool }
}

// Inherit takes what was not written from the general options default_db,
// use_cache, cache_size and cache_life_time.
func (o *Options) Inherit(db string, use bool, size int, life time.Duration) {
	if !o.given.methods {
		o.Methods = []string{db}
	}
	if !o.given.use {
		o.UseCache = use
	}
	if !o.given.size {
		o.CacheSize = size
	}
	if !o.given.life {
		o.CacheLifeTime = life
	}
}

// passwordTypes are ejabberd's names for the forms of a stored password.
var passwordTypes = []string{"plain", "scram_sha1", "scram_sha256", "scram_sha512"}

// Fields declares the options of ejabberd that concern accounts.
func (o *Options) Fields(f *config.Fields) {
	config.Value(f, &o.Methods, "auth_method", "list of sql, mnesia, anonymous", []string{"mnesia"},
		"Where accounts are looked for, in this order. `mnesia` is the embedded database.", methods).
		Given(&o.given.methods).DefaultText("value of default_db").Example("[sql, anonymous]")
	f.Enum(&o.AnonymousProtocol, "anonymous_protocol", "sasl_anon",
		"How anonymous users log in: without a name, with any name and password, or both.", "sasl_anon", "login_anon", "both")
	f.Bool(&o.MultipleConnections, "allow_multiple_connections", false,
		"Several anonymous sessions may share one name.")
	f.Enum(&o.PasswordFormat, "auth_password_format", "plain",
		"How passwords are stored.", "plain", "scram")
	f.Enum(&o.ScramHash, "auth_scram_hash", "sha",
		"The hash of passwords stored as SCRAM.", "sha", "sha256", "sha512")
	f.Enums(&o.StoredTypes, "auth_stored_password_types", nil,
		"All forms in which a password is stored; empty means auth_password_format and auth_scram_hash.", passwordTypes...)
	f.Enums(&o.HiddenTypes, "auth_password_types_hidden_in_sasl1", nil,
		"Mechanisms of these types are offered in SASL2 only.", passwordTypes...).Old("auth_password_types_hidden_in_scram1")
	config.Value(f, &o.DisabledMechanisms, "disable_sasl_mechanisms", "list of mechanisms", nil,
		"SASL mechanisms that are never offered.", mechanisms).Example("[PLAIN]")
	f.Bool(&o.NoDowngradeProtection, "disable_sasl_scram_downgrade_protection", false,
		"Do not send the hash that lets a client notice when somebody has changed the list of mechanisms (XEP-0474).")
	f.Bool(&o.UseCache, "auth_use_cache", true,
		"Remember the keys derived from plain passwords, so that they are computed once.").Given(&o.given.use).DefaultText("value of use_cache")
	f.IntOrInfinity(&o.CacheSize, "auth_cache_size", 1000,
		"How many derived keys are remembered.").Given(&o.given.size).DefaultText("value of cache_size").Must(config.AtLeast(1))
	f.Duration(&o.CacheLifeTime, "auth_cache_life_time", time.Hour,
		"How long a derived key is remembered.").Given(&o.given.life).DefaultText("value of cache_life_time").OrInfinity()
}

// words reads one word or a list of words.
func words(n *config.Node) ([]*config.Node, error) {
	list := []*config.Node{n}
	if n.Kind() == config.KindList {
		list = n.List()
	}
	for _, item := range list {
		if item.Kind() != config.KindScalar {
			return nil, item.Wanted("a name")
		}
	}
	return list, nil
}

func methods(n *config.Node) ([]string, error) {
	list, err := words(n)
	if err != nil {
		return nil, err
	}
	var out []string
	var all error
	for _, item := range list {
		name, _ := item.Scalar()
		switch name {
		case "internal":
			name = "mnesia"
		case "odbc":
			name = "sql"
		}
		if err := checkMethod(name); err != nil {
			all = errors.Join(all, item.Errorf("%v", err))
		}
		if !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	if len(out) == 0 {
		all = errors.Join(all, n.Errorf("needs at least one of sql, mnesia, anonymous"))
	}
	return out, all
}

// checkMethod refuses backends that would admit other people than those that
// there are.
func checkMethod(name string) error {
	switch name {
	case "sql", "mnesia", "anonymous":
		return nil
	case "ldap", "external", "jwt", "pam", "http":
		return fmt.Errorf("%s is not built yet, and without it the wrong people could log in; use sql, mnesia or anonymous", name)
	}
	return fmt.Errorf("%q is not one of sql, mnesia, anonymous", name)
}

func mechanisms(n *config.Node) ([]string, error) {
	list, err := words(n)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, item := range list {
		name, _ := item.Scalar()
		out = append(out, strings.ToUpper(name))
	}
	return out, nil
}

// stored are the types in which a new password is kept.
func (o *Options) stored() []string {
	if len(o.StoredTypes) > 0 {
		return o.StoredTypes
	}
	if o.PasswordFormat == "scram" {
		return []string{map[string]string{"sha": "scram_sha1", "sha256": "scram_sha256", "sha512": "scram_sha512"}[o.ScramHash]}
	}
	return []string{"plain"}
}

// keeps reports whether any backend has passwords of its own.
func (o *Options) keeps() bool {
	return slices.ContainsFunc(o.Methods, func(m string) bool { return m != "anonymous" })
}
