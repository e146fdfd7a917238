// Package all lists the modules that come with the server.
package all

import (
	"github.com/gabberd/gabberd/modules"
	"github.com/gabberd/gabberd/modules/adhoc"
	"github.com/gabberd/gabberd/modules/adhocapi"
	"github.com/gabberd/gabberd/modules/adminextra"
	"github.com/gabberd/gabberd/modules/announce"
	"github.com/gabberd/gabberd/modules/authfast"
	"github.com/gabberd/gabberd/modules/blocking"
	"github.com/gabberd/gabberd/modules/blockstrangers"
	"github.com/gabberd/gabberd/modules/caps"
	"github.com/gabberd/gabberd/modules/carboncopy"
	"github.com/gabberd/gabberd/modules/clientstate"
	"github.com/gabberd/gabberd/modules/clock"
	"github.com/gabberd/gabberd/modules/configure"
	"github.com/gabberd/gabberd/modules/disco"
	"github.com/gabberd/gabberd/modules/fail2ban"
	"github.com/gabberd/gabberd/modules/last"
	"github.com/gabberd/gabberd/modules/mam"
	"github.com/gabberd/gabberd/modules/offline"
	"github.com/gabberd/gabberd/modules/ping"
	"github.com/gabberd/gabberd/modules/prescounter"
	"github.com/gabberd/gabberd/modules/privacy"
	"github.com/gabberd/gabberd/modules/private"
	"github.com/gabberd/gabberd/modules/push"
	"github.com/gabberd/gabberd/modules/register"
	"github.com/gabberd/gabberd/modules/roster"
	"github.com/gabberd/gabberd/modules/scramupgrade"
	"github.com/gabberd/gabberd/modules/sharedroster"
	"github.com/gabberd/gabberd/modules/sic"
	"github.com/gabberd/gabberd/modules/stats"
	"github.com/gabberd/gabberd/modules/streammgmt"
	"github.com/gabberd/gabberd/modules/vcard"
	"github.com/gabberd/gabberd/modules/vcardxupdate"
	"github.com/gabberd/gabberd/modules/version"
)

// Modules is every module there is, in order of name.
var Modules = []modules.Module{
	adhoc.Module,
	adhocapi.Module,
	adminextra.Module,
	announce.Module,
	authfast.Module,
	blockstrangers.Module,
	blocking.Module,
	caps.Module,
	carboncopy.Module,
	clientstate.Module,
	clock.Module,
	configure.Module,
	disco.Module,
	fail2ban.Module,
	last.Module,
	mam.Module,
	offline.Module,
	ping.Module,
	prescounter.Module,
	privacy.Module,
	private.Module,
	push.Module,
	register.Module,
	roster.Module,
	scramupgrade.Module,
	sharedroster.Module,
	sic.Module,
	stats.Module,
	streammgmt.Module,
	vcard.Module,
	vcardxupdate.Module,
	version.Module,
}
