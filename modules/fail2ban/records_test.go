package fail2ban

import (
	"encoding/binary"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"
)

func nth(i int) netip.Prefix {
	var b [4]byte
	binary.BigEndian.PutUint32(b[:], uint32(i))
	return netip.PrefixFrom(netip.AddrFrom4(b), 32)
}

func TestMemoryIsBounded(t *testing.T) {
	r := newRecords()
	villain := nth(0)
	r.fail(villain, time.Hour)
	if !r.ban(villain) || r.ban(villain) || r.ban(nth(1)) {
		t.Error("a ban is news once, and only of who has failed")
	}
	for i := 1; i <= 3*maxRecords; i++ {
		r.fail(nth(i), time.Hour)
	}
	if n := len(r.byGroup); n != maxRecords+1 || r.trying.Len() != maxRecords {
		t.Errorf("%d are remembered", n)
	}
	if !r.find(villain).Banned {
		t.Error("a flood of other addresses has washed the ban away")
	}
	if r.find(nth(1)).Count != 0 || r.find(nth(3*maxRecords)).Count != 1 {
		t.Error("not the oldest were forgotten")
	}
	for i := 1; i <= 2*maxRecords; i++ {
		r.fail(nth(i), time.Hour)
		r.ban(nth(i))
	}
	if r.banned.Len() != maxRecords || len(r.byGroup) > 2*maxRecords {
		t.Errorf("%d bans, %d in all", r.banned.Len(), len(r.byGroup))
	}
}

func TestWhatIsOverGoes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRecords()
		for i := range 10 {
			r.fail(nth(i), time.Minute)
			if i%2 == 0 {
				r.ban(nth(i))
			}
			time.Sleep(time.Second)
		}
		r.fail(nth(0), time.Minute) // it lasts longer now
		time.Sleep(55 * time.Second)
		r.find(nth(100))
		if n := len(r.byGroup); n != 5 {
			t.Errorf("%d are left, want 0 and the last four", n)
		}
		time.Sleep(time.Minute)
		r.find(nth(100))
		if len(r.byGroup) != 0 || r.trying.Len() != 0 || r.banned.Len() != 0 {
			t.Errorf("%d are left", len(r.byGroup))
		}
	})
}
