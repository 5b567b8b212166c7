/**
 * Made from the catalog by scripts/intent_types.ts: who may send what to whom, type by type. A test keeps it current.
 * Members of a payload that its type doesn't name pass through.
 */

export interface IntentTypes {
  /** A turn of a game can be played. */
  "game.turn.ready": {
    readonly producer: "game-master";
    readonly audience: "user";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly turn_number: number;
      readonly [member: string]: unknown;
    };
  };
  /** A game is over. */
  "game.finished": {
    readonly producer: "game-master";
    readonly audience: "user";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly final_turn_number: number;
      readonly [member: string]: unknown;
    };
  };
  /** A game's world could not be generated. */
  "game.generation_failed": {
    readonly producer: "game-master";
    readonly audience: "admin_email";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly failure_reason: string;
      readonly [member: string]: unknown;
    };
  };
  /** A game's runtime paused right after its start. */
  "lobby.runtime_paused_after_start": {
    readonly producer: "game-lobby";
    readonly audience: "admin_email";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly [member: string]: unknown;
    };
  };
  /** A user applies for a place in a game. */
  "lobby.application.submitted": {
    readonly producer: "game-lobby";
    readonly audience: "user" | "admin_email";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly applicant_user_id: string;
      readonly applicant_name: string;
      readonly [member: string]: unknown;
    };
  };
  /** An application was approved. */
  "lobby.membership.approved": {
    readonly producer: "game-lobby";
    readonly audience: "user";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly [member: string]: unknown;
    };
  };
  /** An application was rejected. */
  "lobby.membership.rejected": {
    readonly producer: "game-lobby";
    readonly audience: "user";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly [member: string]: unknown;
    };
  };
  /** A user is invited to a game. */
  "lobby.invite.created": {
    readonly producer: "game-lobby";
    readonly audience: "user";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly inviter_user_id: string;
      readonly inviter_name: string;
      readonly [member: string]: unknown;
    };
  };
  /** An invitation was taken up. */
  "lobby.invite.redeemed": {
    readonly producer: "game-lobby";
    readonly audience: "user";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly invitee_user_id: string;
      readonly invitee_name: string;
      readonly [member: string]: unknown;
    };
  };
  /** An invitation ran out. */
  "lobby.invite.expired": {
    readonly producer: "game-lobby";
    readonly audience: "user";
    readonly payload: {
      readonly game_id: string;
      readonly game_name: string;
      readonly invitee_user_id: string;
      readonly invitee_name: string;
      readonly [member: string]: unknown;
    };
  };
  /** An operator's test of the way from intent to client event. */
  "notification.smoke_test": {
    readonly producer: "notification-service";
    readonly audience: "user";
    readonly payload: {
      readonly note: string;
      readonly [member: string]: unknown;
    };
  };
  /** A user's country looks unusual and should be reviewed. */
  "geo.review_recommended": {
    readonly producer: "geo-profile";
    readonly audience: "admin_email";
    readonly payload: {
      readonly user_id: string;
      readonly observed_country: string;
      readonly usual_country: string;
      readonly review_reason: string;
      readonly [member: string]: unknown;
    };
  };
}
