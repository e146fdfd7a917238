package vcard_test

import (
	"strings"
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/vcard"
)

func TestCommands(t *testing.T) {
	s := modtest.Start(t, "", vcard.Module)
	c := s.Login("romeo@localhost/x")
	run := func(want, words string) {
		t.Helper()
		w := strings.Split(words, " ")
		got, err := s.Command(w[0], append([]string{"romeo", "localhost"}, w[1:]...)...)
		if err != nil || got != want {
			t.Errorf("%s: %q, %v; want %q", words, got, err, want)
		}
	}
	run("", "set_vcard FN Romeo")
	run("", "set_vcard2 N FAMILY Montague")
	run("", "set_vcard2 N GIVEN Romeo")
	run("", "set_vcard2_multi ORG ORGUNIT Love,Poetry")
	run("", "set_vcard2 TEL HOME 1")
	run("", "set_vcard2 TEL CELL 2")
	run("", "set_vcard2 TEL HOME 3")
	run("", "set_nickname R")
	run("", "set_vcard FN Romeo<&>")
	want := `<vCard xmlns='vcard-temp'><FN>Romeo&lt;&amp;&gt;</FN><N><FAMILY>Montague</FAMILY><GIVEN>Romeo</GIVEN></N>` +
		`<ORG><ORGUNIT>Love</ORGUNIT><ORGUNIT>Poetry</ORGUNIT></ORG><TEL><HOME/><NUMBER>3</NUMBER></TEL><TEL><CELL/><NUMBER>2</NUMBER></TEL><NICKNAME>R</NICKNAME></vCard>`
	if got := c.Ask(get("romeo@localhost")).Payload().XML(); got != want {
		t.Errorf("the vCard is\n%s, want\n%s", got, want)
	}
	run("Romeo<&>", "get_vcard FN")
	run("R", "get_vcard NICKNAME")
	run("Montague", "get_vcard2 N FAMILY")
	run("3", "get_vcard2 TEL HOME")
	run("2", "get_vcard2 TEL CELL")
	run("Love", "get_vcard2 ORG ORGUNIT")
	run("Love\nPoetry", "get_vcard2_multi ORG ORGUNIT")

	for _, words := range []string{
		"get_vcard romeo localhost TITLE", "get_vcard2 romeo localhost TEL WORK", "get_vcard nobody localhost FN",
		"set_vcard nobody localhost FN x", "set_vcard romeo localhost A><B x", "set_vcard2 romeo localhost N FA/ x", "set_nickname nobody localhost x",
	} {
		w := strings.Split(words, " ")
		if got, err := s.Command(w[0], w[1:]...); err == nil {
			t.Errorf("%s: %q and no error", words, got)
		}
	}
	if got := c.Ask(get("romeo@localhost")).Payload().XML(); got != want {
		t.Errorf("after what has failed the vCard is %s", got)
	}
}
