// Bouncy Castle's EST client and its CMC structures, as a peer for tests: one command a run.
//
//   cacerts      HOST ROOT                      prints the subject of each certificate
//   csrattrs     HOST ROOT                      prints each object identifier
//   enroll       HOST ROOT CSR USER PASSWORD    prints the subjects of what was issued
//   serverkeygen HOST ROOT CSR USER PASSWORD    the same, and fails if the key is not the certificate's
//   cmc          CSR CERT KEY OUT               writes a full PKI request with the CSR in it
//   cmc-read     FILE                           prints each status and each subject of a response

import java.math.BigInteger;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.KeyFactory;
import java.security.PrivateKey;
import java.security.Security;
import java.security.Signature;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.security.spec.PKCS8EncodedKeySpec;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.bouncycastle.asn1.*;
import org.bouncycastle.asn1.cmc.*;
import org.bouncycastle.asn1.pkcs.PrivateKeyInfo;
import org.bouncycastle.cert.X509CertificateHolder;
import org.bouncycastle.cert.jcajce.JcaCertStore;
import org.bouncycastle.cert.jcajce.JcaX509CertificateConverter;
import org.bouncycastle.cms.*;
import org.bouncycastle.cms.jcajce.*;
import org.bouncycastle.est.*;
import org.bouncycastle.est.jcajce.*;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.bouncycastle.openssl.PEMParser;
import org.bouncycastle.openssl.jcajce.JcaPEMKeyConverter;
import org.bouncycastle.operator.jcajce.JcaContentSignerBuilder;
import org.bouncycastle.operator.jcajce.JcaDigestCalculatorProviderBuilder;
import org.bouncycastle.pkcs.PKCS10CertificationRequest;
import org.bouncycastle.util.Store;

public final class Est {
    public static void main(String[] arguments) throws Exception {
        Security.addProvider(new BouncyCastleProvider());
        switch (arguments[0]) {
            case "cacerts" -> subjects(service(arguments).getCACerts().getCertificateStore());
            case "csrattrs" -> {
                var wanted = service(arguments).getCSRAttributes().getAttributesResponse();
                for (ASN1ObjectIdentifier oid : wanted.getRequirements()) System.out.println(oid);
            }
            case "enroll" -> subjects(service(arguments)
                    .simpleEnroll(false, request(arguments[3]), auth(arguments)).getStore());
            case "serverkeygen" -> serverKeygen(arguments);
            case "cmc" -> cmc(arguments);
            case "cmc-read" -> cmcRead(arguments);
            default -> throw new IllegalArgumentException(arguments[0]);
        }
        System.exit(0);
    }

    private static Object pem(String path) throws Exception {
        return new PEMParser(Files.newBufferedReader(Path.of(path))).readObject();
    }

    private static X509Certificate certificate(Object holder) throws Exception {
        return new JcaX509CertificateConverter().setProvider("BC")
                .getCertificate((X509CertificateHolder) holder);
    }

    private static PKCS10CertificationRequest request(String path) throws Exception {
        return (PKCS10CertificationRequest) pem(path);
    }

    private static ESTService service(String[] arguments) throws Exception {
        Set<TrustAnchor> anchors = new HashSet<>();
        anchors.add(new TrustAnchor(certificate(pem(arguments[2])), null));
        return new JsseESTServiceBuilder(arguments[1], JcaJceUtils.getCertPathTrustManager(anchors, null))
                .withTimeout(20000).build();
    }

    private static ESTAuth auth(String[] arguments) throws Exception {
        return new JcaHttpAuthBuilder("est", arguments[4], arguments[5].toCharArray())
                .setProvider("BC").build();
    }

    private static void subjects(Store<X509CertificateHolder> store) {
        for (X509CertificateHolder holder : store.getMatches(null)) System.out.println(holder.getSubject());
    }

    private static void serverKeygen(String[] arguments) throws Exception {
        EnrollmentResponse response = service(arguments)
                .simpleEnrollWithServersideCreation(request(arguments[3]), auth(arguments));
        X509CertificateHolder holder = response.getStore().getMatches(null).iterator().next();
        PrivateKeyInfo info = response.getPrivateKeyInfo();
        PrivateKey key = KeyFactory.getInstance("EC", "BC")
                .generatePrivate(new PKCS8EncodedKeySpec(info.getEncoded()));
        Signature signature = Signature.getInstance("SHA256withECDSA", "BC");
        signature.initSign(key);
        signature.update(new byte[] {1, 2, 3});
        byte[] signed = signature.sign();
        signature.initVerify(certificate(holder));
        signature.update(new byte[] {1, 2, 3});
        if (!signature.verify(signed)) throw new IllegalStateException("the key is another");
        System.out.println(holder.getSubject());
    }

    private static TaggedAttribute control(int id, ASN1ObjectIdentifier type, ASN1Encodable value) {
        return new TaggedAttribute(new BodyPartID(id), type, new DERSet(value));
    }

    private static void cmc(String[] arguments) throws Exception {
        TaggedAttribute[] controls = {
            control(10, CMCObjectIdentifiers.id_cmc_transactionId, new ASN1Integer(4711)),
            control(11, CMCObjectIdentifiers.id_cmc_senderNonce, new DEROctetString(new byte[16])),
        };
        var inner = CertificationRequest.getInstance(request(arguments[1]).getEncoded());
        TaggedRequest[] requests = {
            new TaggedRequest(new TaggedCertificationRequest(new BodyPartID(1), inner)),
        };
        PKIData data = new PKIData(controls, requests, new TaggedContentInfo[0], new OtherMsg[0]);
        X509Certificate by = certificate(pem(arguments[2]));
        PrivateKey key = new JcaPEMKeyConverter().setProvider("BC").getPrivateKey((PrivateKeyInfo) pem(arguments[3]));
        CMSSignedDataGenerator generator = new CMSSignedDataGenerator();
        var digests = new JcaDigestCalculatorProviderBuilder().setProvider("BC").build();
        var signer = new JcaContentSignerBuilder("SHA256withECDSA").setProvider("BC").build(key);
        generator.addSignerInfoGenerator(new JcaSignerInfoGeneratorBuilder(digests).build(signer, by));
        generator.addCertificates(new JcaCertStore(List.of(by)));
        var content = new CMSProcessableByteArray(CMCObjectIdentifiers.id_cct_PKIData, data.getEncoded());
        Files.write(Path.of(arguments[4]), generator.generate(content, true).getEncoded("DER"));
    }

    private static void cmcRead(String[] arguments) throws Exception {
        CMSSignedData signed = new CMSSignedData(Files.readAllBytes(Path.of(arguments[1])));
        for (SignerInformation signer : signed.getSignerInfos().getSigners()) {
            @SuppressWarnings("unchecked")
            var holder = (X509CertificateHolder) signed.getCertificates().getMatches(signer.getSID()).iterator().next();
            var verifier = new JcaSimpleSignerInfoVerifierBuilder().setProvider("BC").build(holder);
            if (!signer.verify(verifier)) throw new IllegalStateException("a signature is bad");
        }
        PKIResponse response = PKIResponse.getInstance(signed.getSignedContent().getContent());
        for (ASN1Encodable each : response.getControlSequence()) {
            TaggedAttribute control = TaggedAttribute.getInstance(each);
            ASN1Encodable value = control.getAttrValues().getObjectAt(0);
            if (control.getAttrType().equals(CMCObjectIdentifiers.id_cmc_statusInfoV2)) {
                CMCStatus status = CMCStatusInfoV2.getInstance(value).getcMCStatus();
                System.out.println("success " + status.equals(CMCStatus.success));
            } else if (control.getAttrType().equals(CMCObjectIdentifiers.id_cmc_transactionId)) {
                System.out.println("transaction " + ASN1Integer.getInstance(value).getValue().equals(BigInteger.valueOf(4711)));
            }
        }
        subjects(signed.getCertificates());
    }
}
