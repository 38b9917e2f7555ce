package yuekang.bench;

import com.fasterxml.jackson.annotation.JsonUnwrapped;
import java.time.Instant;
import java.util.List;

/** A person's code: models/codes.py. */
record HealthCode(
    String person,
    int version,
    Instant judgedAt,
    @JsonUnwrapped Status told,
    int toldVersion,
    @JsonUnwrapped Assessment found) {

  enum Colour { RED, GREEN, NONE }

  /** What is told of a person: the colour, and the open reasons by rank. */
  record Status(Colour colour, List<Integer> reasons) {}

  /** What brought a change about: an event, or (all null) the passing of time. */
  record Cause(String source, String id, Event.Type type, String corrects) {}

  record Change(
      String person,
      int version,
      int previousVersion,
      Instant at,
      Status before,
      Status after,
      Cause cause,
      String city) {}

  /** The CloudEvent on status-changes. */
  record Changed(
      String id,
      Instant time,
      String partitionkey,
      Change data,
      String type,
      String source,
      String specversion,
      String datacontenttype) {

    Changed(Change change) {
      this(
          change.person + ":" + change.version,
          change.at,
          change.person,
          change,
          "yuekang.status.changed.v1",
          "/yuekang",
          "1.0",
          "application/json");
    }
  }
}
