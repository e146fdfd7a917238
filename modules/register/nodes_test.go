package register_test

import (
	"testing"

	"github.com/gabberd/gabberd/modules/modtest"
	"github.com/gabberd/gabberd/modules/register"
)

// TestAddressWaitsOnAllNodes: making accounts on one node after the other is no
// way around registration_timeout.
func TestAddressWaitsOnAllNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, "", register.Module)
	if got := newStranger(t, c.List[0], "192.0.2.1").make("romeo", "secret"); got != "result" {
		t.Fatalf("the first account: %s", got)
	}
	c.Settle()
	if got := newStranger(t, c.List[1], "192.0.2.1").make("tybalt", "secret"); got != "resource-constraint" {
		t.Errorf("another one on the other node: %s", got)
	}
	if got := newStranger(t, c.List[1], "192.0.2.2").make("juliet", "secret"); got != "result" {
		t.Errorf("another address: %s", got)
	}
}

// TestPasswordAndRemovalHoldOnAllNodes: the new password is the only one wherever
// its owner logs in, sessions go on; with the account they end, everywhere.
func TestPasswordAndRemovalHoldOnAllNodes(t *testing.T) {
	c := modtest.StartNodes(t, 2, "auth_password_format: plain\n", register.Module)
	here, there := c.List[0], c.List[1]
	romeo, other := here.Login("romeo@localhost/orchard"), there.Login("romeo@localhost/street")
	if !logsIn(t, there, "romeo@localhost", "secret") {
		t.Fatal("the first password is not known on the other node")
	}
	if st := romeo.Ask(`<iq type='set' id='1' to='localhost'><query xmlns='` + ns + `'>` + account("romeo", "other") + `</query></iq>`); st.Type != "result" {
		t.Fatal(st)
	}
	c.Settle()
	if logsIn(t, there, "romeo@localhost", "secret") || !logsIn(t, there, "romeo@localhost", "other") {
		t.Error("the other node knows another password")
	}
	if romeo.Closed()+other.Closed() != "" {
		t.Errorf("sessions ended: %q, %q", romeo.Closed(), other.Closed())
	}
	if st := romeo.Ask(`<iq type='set' id='2' to='localhost'><query xmlns='` + ns + `'><remove/></query></iq>`); st.Type != "result" {
		t.Fatal(st)
	}
	c.Settle()
	if romeo.Closed() != "conflict" || other.Closed() != "conflict" {
		t.Errorf("sessions of a removed account: %q, %q", romeo.Closed(), other.Closed())
	}
}
