package yuekang.bench;

import static com.fasterxml.jackson.annotation.JsonInclude.Include.NON_NULL;

import com.fasterxml.jackson.annotation.JsonFormat;
import com.fasterxml.jackson.annotation.JsonInclude;
import com.fasterxml.jackson.databind.DeserializationFeature;
import com.fasterxml.jackson.databind.EnumNamingStrategies;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.ObjectReader;
import com.fasterxml.jackson.databind.ObjectWriter;
import com.fasterxml.jackson.databind.PropertyNamingStrategies;
import com.fasterxml.jackson.databind.SerializationFeature;
import com.fasterxml.jackson.databind.introspect.Annotated;
import com.fasterxml.jackson.databind.introspect.NopAnnotationIntrospector;
import com.fasterxml.jackson.databind.json.JsonMapper;
import com.fasterxml.jackson.dataformat.cbor.databind.CBORMapper;
import com.fasterxml.jackson.datatype.jsr310.JavaTimeModule;
import java.io.IOException;
import java.io.UncheckedIOException;

/**
 * A kind of record as bytes, by Jackson: JSON on the topics, CBOR without names in the store.
 *
 * <p>Readers and writers are made once and shared, as Jackson's manual has it for speed. Its
 * Blackbird module was tried, and reads these records no faster. The store keeps instants to the
 * millisecond.
 */
record Format<T>(ObjectReader reader, ObjectWriter writer) {
  private static final JsonMapper JSON =
      JsonMapper.builder()
          .addModule(new JavaTimeModule())
          .propertyNamingStrategy(PropertyNamingStrategies.SNAKE_CASE)
          .enumNamingStrategy(EnumNamingStrategies.KEBAB_CASE)
          .defaultPropertyInclusion(JsonInclude.Value.construct(NON_NULL, NON_NULL))
          .enable(DeserializationFeature.FAIL_ON_TRAILING_TOKENS)
          .disable(SerializationFeature.WRITE_DATES_AS_TIMESTAMPS)
          .build();
  private static final CBORMapper CBOR =
      CBORMapper.builder()
          .addModule(new JavaTimeModule())
          .annotationIntrospector(new RecordsAsArrays())
          .enable(SerializationFeature.WRITE_ENUMS_USING_INDEX)
          .disable(SerializationFeature.WRITE_DATE_TIMESTAMPS_AS_NANOSECONDS)
          .disable(DeserializationFeature.READ_DATE_TIMESTAMPS_AS_NANOSECONDS)
          .build();

  static final Format<Event> EVENT = of(JSON, Event.class);
  static final Format<HealthCode> CODE = of(JSON, HealthCode.class);
  static final Format<HealthCode.Changed> CHANGED = of(JSON, HealthCode.Changed.class);
  static final Format<Policy.Dated> POLICIES = of(JSON, Policy.Dated.class);
  static final Format<Person> ROW = of(CBOR, Person.class);
  static final Format<Event> FACT = of(CBOR, Event.class);

  private static <T> Format<T> of(ObjectMapper mapper, Class<T> kind) {
    return new Format<>(mapper.readerFor(kind), mapper.writerFor(kind));
  }

  byte[] write(T value) {
    try {
      return writer.writeValueAsBytes(value);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /**
   * Reads a record.
   *
   * @throws UncheckedIOException if the bytes are no JSON (or CBOR), or no such record
   */
  T read(byte[] bytes) {
    try {
      return reader.readValue(bytes);
    } catch (IOException error) {
      throw new UncheckedIOException(error);
    }
  }

  /** The annotations are about JSON; the store has every record as an array. */
  private static final class RecordsAsArrays extends NopAnnotationIntrospector {
    @Override
    public JsonFormat.Value findFormat(Annotated kind) {
      boolean record = kind.getRawType().isRecord();
      return record ? JsonFormat.Value.forShape(JsonFormat.Shape.ARRAY) : null;
    }
  }
}
