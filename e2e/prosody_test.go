package e2e

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// prosodys are Prosody's modules that do what ejabberd's do; those that are not
// here have no counterpart, or need none.
var prosodys = map[string][]string{
	"mod_adhoc":     {"adhoc"},
	"mod_announce":  {"announce"},
	"mod_configure": {"admin_adhoc"},
	"mod_disco":     {"disco"},
	"mod_last":      {"lastactivity"},
	"mod_offline":   {"offline"},
	"mod_ping":      {"ping"},
	"mod_private":   {"private"},
	"mod_register":  {"register", "register_ibr"},
	"mod_roster":    {"roster"},
	"mod_time":      {"time"},
	"mod_vcard":     {"vcard"},
	"mod_version":   {"version"},
}

// startProsody starts one Prosody with a virtual host for each configuration,
// as far as Prosody has the modules, and with the accounts of each.
func startProsody(t *testing.T, hosts map[string]options, accounts map[string]map[string]string) *peer {
	t.Helper()
	p := newPeer(t, "prosody")
	p.certificate([]string{"localhost"})
	var conf strings.Builder
	fmt.Fprintf(&conf, `
interfaces = { "127.0.0.1" }
local_interfaces = { "127.0.0.1" }
c2s_ports = { %s }
c2s_direct_tls_ports = { }
s2s_ports = { }
http_ports = { }
https_ports = { }
pidfile = "%s/prosody.pid"
data_path = "%s/data"
certificates = "%s"
ssl = { key = "%s/key.pem", certificate = "%s/cert.pem" }
c2s_require_encryption = true
authentication = "internal_plain"
storage = "internal"
log = { warn = "*console" }
allow_registration = true
modules_enabled = { "saslauth", "tls" }
modules_disabled = { "s2s", "offline" }
`, p.port(), p.dir, p.dir, p.dir, p.dir, p.dir)
	for host, o := range hosts {
		var enabled, disabled []string
		modules, _ := o["modules"].(map[string]any)
		for name := range modules {
			enabled = append(enabled, prosodys[name]...)
		}
		if !slices.Contains(enabled, "offline") {
			disabled = append(disabled, "offline")
		}
		fmt.Fprintf(&conf, "VirtualHost %q\nadmins = { \"admin@%s\" }\nmodules_enabled = { %s }\nmodules_disabled = { %s }\n",
			host, host, lua(enabled), lua(disabled))
		for jid, password := range accounts[host] {
			user, _, _ := strings.Cut(jid, "@")
			p.write("data/"+prosodyName(host)+"/accounts/"+prosodyName(user)+".dat", fmt.Sprintf("return { [\"password\"] = %q; };\n", password))
		}
	}
	p.write("prosody.cfg.lua", conf.String())
	p.start("prosody", "-F", "--config", p.dir+"/prosody.cfg.lua")
	return p
}

// prosodyName is how Prosody names files.
func prosodyName(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(strings.ToLower(url.QueryEscape(s)), ".", "%2e"), "-", "%2d")
}

func lua(words []string) string {
	var b strings.Builder
	for _, w := range words {
		fmt.Fprintf(&b, "%q, ", w)
	}
	return b.String()
}

func mustAtoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}
