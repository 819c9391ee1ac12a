package videoroom

import (
	"context"
	"encoding/json"
	"errors"
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
func (p *Plugin) list(ctx context.Context, body janus.Object) (object, error) {
	all := false
	if p.cfg.AdminKey != "" && body.String("admin_key") != "" {
		if err := p.checkAdminKey(body); err != nil {
			return nil, err
		}
		all = true
	}
	rooms := p.all()
	if p.cfg.Mesh != nil {
		return object{"videoroom": "success", "list": p.listShared(ctx, rooms, all)}, nil
	}
	infos := make([]roomInfo, 0, len(rooms))
	for _, r := range rooms {
		if info, ok := r.info(all); ok {
			infos = append(infos, info)
		}
	}
	return object{"videoroom": "success", "list": infos}, nil
}

// listShared tells of the rooms of all nodes. Of those that are held here this node knows best.
func (p *Plugin) listShared(ctx context.Context, here []*room, all bool) []roomInfo {
	ctx, cancel := context.WithTimeout(ctx, meshTime)
	defer cancel()
	listed, err := p.cfg.Mesh.List(ctx)
	if err != nil {
		p.log.Warn("rooms of other nodes not listed", "error", err)
	}
	held := make(map[ID]*room, len(here))
	for _, r := range here {
		held[r.id] = r
	}
	infos := make([]roomInfo, 0, len(listed))
	for _, l := range listed {
		id, ok := p.ids.read(l.Room)
		if !ok {
			continue
		}
		if r := held[id]; r != nil {
			delete(held, id)
			if info, ok := r.info(all); ok {
				infos = append(infos, info)
			}
			continue
		}
		c, err := readRecord(id, l.Record)
		if err != nil {
			p.log.Warn("room not understood", "room", l.Room, "error", err)
			continue
		}
		if all || !c.Private {
			infos = append(infos, c.info(id, l.Participants+c.dummies()))
		}
	}
	for _, r := range here {
		if info, ok := r.info(all); ok && held[r.id] != nil {
			infos = append(infos, info)
		}
	}
	return infos
}

// dummies is how many participants a room has that are on no node.
func (c *RoomConfig) dummies() int {
	if c.DummyPublisher {
		return 1
	}
	return 0
}

// info is what list tells of the room; ok is false for rooms it does not tell of.
func (r *room) info(private bool) (info roomInfo, ok bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.destroyed || r.cfg.Private && !private {
		return roomInfo{}, false
	}
	return r.cfg.info(r.id, len(r.members)), true
}

// info is what list tells of a room with these options.
func (c *RoomConfig) info(id ID, participants int) roomInfo {
	info := roomInfo{
		Room: id, Description: c.Description, PinRequired: c.Pin != nil, IsPrivate: c.Private,
		MaxPublishers: c.Publishers, Bitrate: c.Bitrate, BitrateCap: c.BitrateCap, FIRFreq: c.FIRFreq,
		RequirePvtid: c.RequirePrivateID, RequireE2EE: c.RequireE2EE, DummyPublisher: c.DummyPublisher,
		NotifyJoining: c.NotifyJoining, AudioCodec: strings.Join(c.AudioCodecs, ","), VideoCodec: strings.Join(c.VideoCodecs, ","),
		OpusFEC: c.OpusFEC, OpusDTX: c.OpusDTX, OpusRED: c.OpusRED, VideoSVC: c.VideoSVC, Record: c.Record, RecDir: c.RecDir, LockRecord: c.LockRecord,
		NumParticipants: participants, AudioLevelExt: c.AudioLevelExt, AudioLevelEvent: c.AudioLevelEvent,
		VideoOrientExt: c.VideoOrientExt, PlayoutDelayExt: c.PlayoutDelayExt, TransportCCExt: c.TransportCCExt,
		CommunityID: c.CommunityID,
	}
	if c.AudioLevelEvent {
		info.AudioActivePackets, info.AudioLevelAverage = c.AudioActivePackets, c.AudioLevelAverage
	}
	return info
}

// exists tells whether there is a room, private or not.
func (p *Plugin) exists(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true)); err != nil {
		return nil, err
	}
	id := p.ids.get(body, "room")
	_, err := p.visit(ctx, body, func(*room) (object, error) { return nil, nil })
	var refused *requestError
	if err != nil && !(errors.As(err, &refused) && refused.code == codeNoSuchRoom) {
		return nil, err
	}
	return object{"videoroom": "success", "room": id, "exists": err == nil}, nil
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
func (p *Plugin) listParticipants(ctx context.Context, body janus.Object) (object, error) {
	if err := check(body, p.ids.param("room", true)); err != nil {
		return nil, err
	}
	return p.visit(ctx, body, func(r *room) (object, error) {
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
