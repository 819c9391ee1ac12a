package videoroom

import (
	"context"
	"encoding/json"
	"strings"

	"cardea/signaling/janus"
)

// roomInfo is what list tells of a room.
type roomInfo struct {
	Room               ID              `json:"room"`
	Description        string          `json:"description"`
	PinRequired        bool            `json:"pin_required"`
	IsPrivate          bool            `json:"is_private"`
	MaxPublishers      int             `json:"max_publishers"`
	Bitrate            uint32          `json:"bitrate"`
	BitrateCap         bool            `json:"bitrate_cap,omitempty"`
	FIRFreq            int             `json:"fir_freq"`
	RequirePvtid       bool            `json:"require_pvtid"`
	RequireE2EE        bool            `json:"require_e2ee"`
	DummyPublisher     bool            `json:"dummy_publisher"`
	NotifyJoining      bool            `json:"notify_joining"`
	AudioCodec         string          `json:"audiocodec"`
	VideoCodec         string          `json:"videocodec"`
	OpusFEC            bool            `json:"opus_fec,omitempty"`
	OpusDTX            bool            `json:"opus_dtx,omitempty"`
	OpusRED            bool            `json:"opus_red,omitempty"`
	VideoSVC           bool            `json:"video_svc,omitempty"`
	Record             bool            `json:"record"`
	RecDir             *string         `json:"rec_dir,omitempty"`
	LockRecord         bool            `json:"lock_record"`
	NumParticipants    int             `json:"num_participants"`
	AudioLevelExt      bool            `json:"audiolevel_ext"`
	AudioLevelEvent    bool            `json:"audiolevel_event"`
	AudioActivePackets int             `json:"audio_active_packets,omitempty"`
	AudioLevelAverage  int             `json:"audio_level_average,omitempty"`
	VideoOrientExt     bool            `json:"videoorient_ext"`
	PlayoutDelayExt    bool            `json:"playoutdelay_ext"`
	TransportCCExt     bool            `json:"transport_wide_cc_ext"`
	CommunityID        json.RawMessage `json:"community_id,omitempty"`
}

// list tells of all rooms, private ones only with the admin key.
func (p *Plugin) list(_ context.Context, body janus.Object) (object, error) {
	all := false
	if p.cfg.AdminKey != "" && body.String("admin_key") != "" {
		if err := p.checkAdminKey(body); err != nil {
			return nil, err
		}
		all = true
	}
	rooms := p.all()
	infos := make([]roomInfo, 0, len(rooms))
	for _, r := range rooms {
		if info, ok := r.info(all); ok {
			infos = append(infos, info)
		}
	}
	return object{"videoroom": "success", "list": infos}, nil
}

// info is what list tells of the room; ok is false for rooms it does not tell of.
func (r *room) info(private bool) (info roomInfo, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := &r.cfg
	if r.destroyed || c.Private && !private {
		return roomInfo{}, false
	}
	info = roomInfo{
		Room: r.id, Description: c.Description, PinRequired: c.Pin != nil, IsPrivate: c.Private,
		MaxPublishers: c.Publishers, Bitrate: c.Bitrate, BitrateCap: c.BitrateCap, FIRFreq: c.FIRFreq,
		RequirePvtid: c.RequirePrivateID, RequireE2EE: c.RequireE2EE, DummyPublisher: c.DummyPublisher,
		NotifyJoining: c.NotifyJoining, AudioCodec: strings.Join(c.AudioCodecs, ","), VideoCodec: strings.Join(c.VideoCodecs, ","),
		OpusFEC: c.OpusFEC, OpusDTX: c.OpusDTX, OpusRED: c.OpusRED, VideoSVC: c.VideoSVC, Record: c.Record, RecDir: c.RecDir, LockRecord: c.LockRecord,
		NumParticipants: len(r.members), AudioLevelExt: c.AudioLevelExt, AudioLevelEvent: c.AudioLevelEvent,
		VideoOrientExt: c.VideoOrientExt, PlayoutDelayExt: c.PlayoutDelayExt, TransportCCExt: c.TransportCCExt,
		CommunityID: c.CommunityID,
	}
	if c.AudioLevelEvent {
		info.AudioActivePackets, info.AudioLevelAverage = c.AudioActivePackets, c.AudioLevelAverage
	}
	return info, true
}

// exists tells whether there is a room, private or not.
func (p *Plugin) exists(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true)); err != nil {
		return nil, err
	}
	id := p.ids.get(body, "room")
	return object{"videoroom": "success", "room": id, "exists": p.find(id) != nil}, nil
}

// participantInfo is what listparticipants tells of a participant.
type participantInfo struct {
	ID        ID           `json:"id"`
	Display   *string      `json:"display,omitempty"`
	Metadata  janus.Object `json:"metadata,omitempty"`
	Dummy     bool         `json:"dummy,omitempty"`
	Publisher bool         `json:"publisher"`
	Talking   *bool        `json:"talking,omitempty"`
}

// listParticipants tells who is in a room.
func (p *Plugin) listParticipants(_ context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true)); err != nil {
		return nil, err
	}
	return p.visit(body, func(r *room) (object, error) {
		infos := make([]participantInfo, 0, len(r.members))
		for _, m := range r.members {
			info := participantInfo{ID: m.id, Display: m.display, Metadata: m.metadata, Dummy: m.dummy, Publisher: m.started}
			if m.started {
				info.Talking = m.talking()
			}
			infos = append(infos, info)
		}
		return object{"videoroom": "participants", "room": r.id, "participants": infos}, nil
	})
}
